"""What the tables of requests need on the bed: files of two users, jobs that Goldcrest knows nothing of, a task.

bob asks: alice is who asks in all other tests, and nobody may have more than 200 Tasks at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bed import Bed

_FILES = r"""
set -eu
mkdir -m 700 "$1" && cd "$1"
printf '#!/bin/bash\ntrue\n' > plain.sh
printf '#!/bin/bash\r\ntrue\r\n' > crlf.sh
printf 'true\n' > bare.sh
printf '#!/bin/bash\ntrue \000\n' > nul.sh
printf '\177ELF\002\001\001\000' > elf
printf '#!/bin/bash\n#SBATCH --hold\n' > hold.sh
: > empty.sh
truncate -s 16777217 large.sh
install -m 000 plain.sh closed.sh
ln -s loop loop
"""


@contextmanager
def made(bed: Bed) -> Iterator[dict[str, str]]:
    """The names, by the words that stand for them."""
    names = {"HOME": f"/home/bob/{bed.name('contract')}", "OTHERS": f"/home/alice/{bed.name('contract')}"}
    held: dict[str, str] = {}
    try:
        bed.node("sh", "-c", _FILES, "sh", names["HOME"], user="bob")
        bed.node("sh", "-c", _FILES, "sh", names["OTHERS"], user="alice")
        held = {word: _held(bed, user) for word, user in (("HELD", "bob"), ("DOOMED", "bob"), ("FOREIGN_JOB", "alice"))}
        node = bed.node("sinfo", "--noheader", "--Node", "--format=%N").split()[0]
        task = bed.call("GET", "/compute/partitions", client="alice-client").json["task_id"]
        yield {
            **names,
            **held,
            "FOREIGN_TASK": task,
            "NODE": node,
            "SYSTEM": bed.system,
            "TOKEN": bed.token("bob-client"),
        }
    finally:
        bed.node("rm", "-rf", names["HOME"], names["OTHERS"])
        if held:
            bed.node("scancel", *held.values(), check=False)


def _held(bed: Bed, user: str) -> str:
    """A job that waits until it is cancelled."""
    words = ("sbatch", "--parsable", "--hold", "--output=/dev/null", "--chdir=/", "--wrap=true")
    return bed.node(*words, user=user).strip()
