"""The node's parsers, fuzzed guided by coverage: minutes in `make test`, hours by `make fuzz` (FUZZ_SECONDS of each)."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None, reason="no wheel of atheris for this Python or machine"
    ),
]

SECONDS = int(os.environ.get("FUZZ_SECONDS", "6"))
PROGRAM = Path(__file__).with_name("coverage_guided.py")


def fuzz(target: str, folder: Path, *options: str, program: Path = PROGRAM) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(program), target, str(folder), *options]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS + 120)


@pytest.mark.parametrize("target", ["certificates", "commands", "submissions", "frames"])
def test_nothing_is_found(target: str, tmp_path: Path) -> None:
    """Whatever comes is refused, or accepted as exactly what was signed; an input that does otherwise is in the message."""
    done = fuzz(target, tmp_path, f"-max_total_time={SECONDS}")
    found = [path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-"))]
    assert done.returncode == 0, f"{found}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    executions = re.search(r"Done (\d+) runs", done.stderr)
    assert executions is not None
    assert int(executions.group(1)) > 100, done.stderr[-500:]
    print(f"{target}: {executions.group(1)} executions in {SECONDS} s")
    # The corpus grew: inputs that reach further than the seeds were found, so the code is instrumented.
    assert len(list((tmp_path / "corpus").iterdir())) > 10


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """A fuzzer that notices nothing would be green as well: with a check taken out of a copy, it says so at once."""
    program = tmp_path / "coverage_guided.py"
    text = PROGRAM.read_text()
    broken = text.replace(
        "    one = TARGETS",
        "    REASONS_LEFT = REASONS - {'session-id'}\n    globals().update(REASONS=REASONS_LEFT)\n    one = TARGETS",
    )
    assert broken != text
    program.write_text(broken.replace("Path(__file__).parents[1]", repr(str(PROGRAM.parents[1]))))
    (tmp_path / "run").mkdir()
    seed = certificate_of_another_channel()
    (tmp_path / "run" / "corpus").mkdir()
    (tmp_path / "run" / "corpus" / "other-channel").write_bytes(seed)
    done = fuzz("certificates", tmp_path / "run", "-max_total_time=20", program=program)
    assert done.returncode != 0
    assert "AssertionError: session-id" in done.stderr + done.stdout


def certificate_of_another_channel() -> bytes:
    """Made by the program's own code, in a process that does not fuzz."""
    script = (
        f"import sys; sys.path[:0] = [{str(PROGRAM.parent)!r}]; import coverage_guided as c;"
        "sys.stdout.buffer.write(c.certificate('sys.whoami', {}, sid='f' * 32).build())"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
