#!/bin/sh
# Prepare .venv with the locked dependencies. Needs python3 >= 3.11; brings its own uv.
set -eu
cd "$(dirname "$0")/.."
UV_VERSION=0.13.9
cache="${XDG_CACHE_HOME:-$HOME/.cache}/goldcrest"

# The system's own first: distributions build theirs with profile-guided optimisation, version managers mostly do not, which is a quarter slower.
python=""
for candidate in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$(command -v "$candidate")
        break
    fi
done
if [ -z "$python" ]; then
    echo "Goldcrest needs Python 3.11 or newer. On Debian 12: apt-get install python3" >&2
    exit 1
fi

uv="$cache/uv-$UV_VERSION/bin/uv"
if [ ! -x "$uv" ]; then
    echo "setting up uv $UV_VERSION in $cache"
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "installing python3-venv"
            export DEBIAN_FRONTEND=noninteractive
            apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null 2>&1
        else
            echo "python3-venv is missing. On Debian: apt-get install python3-venv" >&2
            exit 1
        fi
    fi
    rm -rf "$cache/uv-$UV_VERSION"
    "$python" -m venv "$cache/uv-$UV_VERSION"
    "$cache/uv-$UV_VERSION/bin/pip" install --quiet "uv==$UV_VERSION"
fi
# One that is here, so that nothing is downloaded from outside the package index.
UV_PYTHON_DOWNLOADS=never exec "$uv" sync --quiet --locked --python "$python"
