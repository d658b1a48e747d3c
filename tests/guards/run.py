"""Proves the guards: takes each one out of a copy of the tree, and shows that the test it names then fails.

A guard is a `*.patch` beside this file. Its head says in words what is taken out, and which test must notice:

    # guard: a certificate is accepted once
    # test: tests/component/ssh_filter/test_frames.py::test_replay

First all named tests must pass in an unchanged copy; then, guard by guard, the copy is patched, the test must fail (not
merely break), and the copy is put right again. Exit status: 0 when every guard is proved, 1 when one is not, 2 when the
run itself could not be made.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
REPOSITORY: Final = HERE.parents[1]
PACKAGES: Final = {
    "goldcrest": "core",
    "goldcrest_api": "api",
    "goldcrest_operator": "operator",
    "goldcrest_delegation": "delegation",
    "goldcrest_admission": "admission",
    "goldcrest_kubectl": "kubectl",
}
TEST_SECONDS: Final = 600.0


class Broken(Exception):
    """The run could not be made: it says nothing about the guards."""


@dataclass(frozen=True)
class Guard:
    """One patch, and the test that must fail with it."""

    name: str
    path: Path
    what: str
    test: str

    @classmethod
    def read(cls, path: Path) -> Guard:
        head: dict[str, str] = {}
        for line in path.read_text().splitlines():
            if not line.startswith("# "):
                break
            key, _, value = line[2:].partition(": ")
            head[key] = value.strip()
        if not head.get("guard") or not head.get("test", "").startswith("tests/"):
            raise Broken(f"{path.name} must begin with `# guard: …` and `# test: tests/…::test_…`")
        return cls(path.stem, path, head["guard"], head["test"])


@dataclass(frozen=True)
class Outcome:
    """What pytest said of some tests."""

    passed: int
    failed: int
    broken: int
    output: str


class Copy:
    """A copy of the tree whose code is the one that is imported, in this process' children and in theirs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        roots = [str(folder / root) for root in PACKAGES.values()]
        self._environment = {
            **os.environ,
            # Before the editable install of the virtual environment, which leads to the original.
            "PYTHONPATH": os.pathsep.join(roots),
            # Two versions of a file can have the same size within the same second: byte code would be the old one's.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def prove(self) -> None:
        """Fail unless every package is imported from the copy.

        Raises:
            Broken: one is not.
        """
        program = (
            f"import {', '.join(PACKAGES)}\nprint(*({', '.join(name + '.__file__' for name in PACKAGES)},), sep='\\n')"
        )
        # Started elsewhere, as the processes of component tests are.
        run = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tempfile.gettempdir(),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        imported = [Path(line).resolve() for line in run.stdout.split()]
        if len(imported) != len(PACKAGES) or not all(path.is_relative_to(self._folder) for path in imported):
            raise Broken(f"the copy's code is not what is imported:\n{run.stdout}{run.stderr}")

    def test(self, *tests: str) -> Outcome:
        """Run tests in the copy.

        Raises:
            Broken: there is no such test, or pytest itself failed.
        """
        report = self._folder.parent / "report.xml"
        report.unlink(missing_ok=True)
        arguments = ["-q", "--tb=line", "-p", "no:cacheprovider", f"--rootdir={self._folder}", f"--junitxml={report}"]
        run = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, *tests],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=TEST_SECONDS,
        )
        if run.returncode not in (0, 1) or not report.exists():
            raise Broken(f"pytest ended with {run.returncode}:\n{run.stdout[-3000:]}{run.stderr[-1000:]}")
        cases = list(ET.parse(report).getroot().iter("testcase"))
        failed = sum(case.find("failure") is not None for case in cases)
        broken = sum(case.find("error") is not None or case.find("skipped") is not None for case in cases)
        return Outcome(len(cases) - failed - broken, failed, broken, run.stdout)

    @contextmanager
    def without(self, guard: Guard) -> Iterator[None]:
        """With the guard taken out.

        Raises:
            Broken: the patch does not fit any more.
        """
        self._patch(guard)
        try:
            yield
        finally:
            self._patch(guard, "--reverse")

    def _patch(self, guard: Guard, *more: str) -> None:
        run = subprocess.run(
            ["git", "apply", "-C1", *more, str(guard.path)],
            cwd=self._folder,
            # The copy is no repository; none above it may be taken for its own.
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(self._folder.parent)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        if run.returncode != 0:
            raise Broken(f"{guard.path.name} does not fit the code any more; make it anew:\n{run.stderr}")


@contextmanager
def copied_tree(*, committed: bool) -> Iterator[Copy]:
    """A copy of the files that git knows or could know, as they are now or as they are committed."""
    with tempfile.TemporaryDirectory(prefix="goldcrest-guards-") as name:
        folder = Path(name).resolve() / "tree"
        folder.mkdir()
        # Other users enter it: the filter runs as one in its tests.
        folder.parent.chmod(0o755)
        if committed:
            archive = subprocess.run(["git", "archive", "HEAD"], cwd=REPOSITORY, check=True, capture_output=True)
            subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
        else:
            listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
            listed = subprocess.run(listing, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
            for path in filter(None, listed.split("\0")):
                if (REPOSITORY / path).is_file():
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(REPOSITORY / path, folder / path)
        yield Copy(folder)


def say(text: str) -> None:
    print(text, flush=True)


def prove(guards: Sequence[Guard], copy: Copy) -> list[str]:
    """Names of the guards that are not proved."""
    width = max(len(guard.name) for guard in guards)
    unproved = []
    for number, guard in enumerate(guards, 1):
        began = time.monotonic()
        say(f"[{number:2}/{len(guards)}] {guard.name:{width}}  {guard.what}")
        try:
            with copy.without(guard):
                outcome = copy.test(guard.test)
                if outcome.broken:  # says nothing about the guard: on a busy machine a server may not start in time
                    say("        the test could not be run; once more")
                    outcome = copy.test(guard.test)
            verdict = "proved" if outcome.failed and not outcome.broken else "NOT PROVED"
            detail = f"{guard.test} " + ("fails" if outcome.failed else "does not notice")
            if outcome.broken:
                detail = f"{guard.test} breaks instead of failing:\n{outcome.output[-1500:]}"
        except Broken as error:
            verdict, detail = "NOT PROVED", str(error)
        if verdict != "proved":
            unproved.append(guard.name)
        say(f"        {verdict} in {time.monotonic() - began:.0f} s: {detail}")
    return unproved


def main(arguments: Sequence[str] | None = None) -> int:
    summary, _, explanation = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=explanation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="NAME", action="append", help="only this guard; may be given several times")
    parser.add_argument("--list", action="store_true", help="list the guards and their tests, and do nothing")
    parser.add_argument("--committed", action="store_true", help="copy what is committed, not what is in the folder")
    options = parser.parse_args(arguments)
    try:
        guards = [Guard.read(path) for path in sorted(HERE.glob("*.patch"))]
        if options.only:
            unknown = set(options.only) - {guard.name for guard in guards}
            if unknown:
                raise Broken(f"there is no guard {', '.join(sorted(unknown))}; --list shows those there are")
            guards = [guard for guard in guards if guard.name in options.only]
        if options.list:
            for guard in guards:
                say(f"{guard.name}: {guard.what}\n    {guard.test}")
            return 0
        with copied_tree(committed=options.committed) as copy:
            copy.prove()
            say(f"All code is imported from the copy. {len(guards)} guards; first with all of them in place:")
            outcome = copy.test(*sorted({guard.test for guard in guards}))
            if outcome.failed or outcome.broken:
                raise Broken(f"the named tests must pass with the guards in place:\n{outcome.output[-3000:]}")
            say(f"        {outcome.passed} tests pass.")
            unproved = prove(guards, copy)
    except Broken as error:
        print(f"guards: {error}", file=sys.stderr)
        return 2
    if unproved:
        say(f"{len(unproved)} of {len(guards)} guards are not proved: {', '.join(unproved)}")
        return 1
    say(f"All {len(guards)} guards are proved.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
