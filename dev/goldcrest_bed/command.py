"""Running other programs: argument lists only, output to a log, errors that quote its end."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from goldcrest_bed.errors import BedError


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def logged(argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run to the end with all output appended to ``log``; BedError with the log's last lines if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {' '.join(argv)}\n".encode())
        out.flush()
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=cwd, check=False
        )
    if done.returncode:
        raise BedError(f"{argv[0]} ended with {done.returncode}; the end of {log}:\n{tail(log)}")


def output(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> str:
    """Standard output of a short command; BedError with its standard error if it fails.

    :param timeout: seconds.
    """
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, env=env, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise BedError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise BedError(f"{' '.join(argv[:4])} … did not end within {timeout} s") from error
    if done.returncode:
        raise BedError(f"{' '.join(argv[:6])} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def succeeds(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = 30) -> bool:
    """Whether a short command exists and ends with 0.

    :param timeout: seconds.
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
            timeout=timeout,
            check=False,
        )
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
