"""Building Go programs from public modules, without their repositories."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
from pathlib import Path

from goldcrest_bed.command import logged, output
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report
from goldcrest_bed.toolchain import Toolchain
from goldcrest_bed.versions import GoProgram


class GoBuilder:
    """Builds one program at a time (the linker alone takes gigabytes) and keeps the results by version."""

    def __init__(self, paths: Paths, toolchain: Toolchain, report: Report) -> None:
        self._paths = paths
        self._toolchain = toolchain
        self._report = report
        self._lock = threading.Lock()

    def built(self, program: GoProgram) -> Path:
        """Where the program is, or will be."""
        recipe = hashlib.sha256(f"{program}{ldflags(program)}".encode()).hexdigest()[:8]
        return self._paths.builds / f"{program.name}-{program.version}-{recipe}" / program.name

    def build(self, program: GoProgram) -> Path:
        """The program, built now if the cache does not have it."""
        target = self.built(program)
        with self._lock:
            if not target.exists():
                log = self._paths.logs / f"build-{program.name}.log"
                with self._report.step(program.name, f"building {program.version} from source", log=log):
                    self._build(program, target, log)
        return target

    def _build(self, program: GoProgram, target: Path, log: Path) -> None:
        go = str(self._toolchain.go())
        env = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=mod"}
        self._paths.builds.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._paths.builds, prefix=".building-") as name:
            folder = Path(name)
            (folder / "go.mod").write_text(self._go_mod(go, program, env))
            logged(
                [
                    go,
                    "build",
                    "-trimpath",
                    "-buildvcs=false",
                    "-ldflags",
                    ldflags(program),
                    "-o",
                    "out/",
                    program.package,
                ],
                log,
                env=env,
                cwd=folder,
            )
            (produced,) = (folder / "out").iterdir()
            produced.rename(folder / "out" / program.name)  # etcd's package is called "server"
            shutil.rmtree(target.parent, ignore_errors=True)
            (folder / "out").rename(target.parent)

    def _go_mod(self, go: str, program: GoProgram, env: dict[str, str]) -> str:
        text = output([go, "mod", "download", "-json", f"{program.module}@{program.version}"], env=env, timeout=600)
        return go_mod(program, Path(json.loads(text)["GoMod"]).read_text())


def go_mod(program: GoProgram, upstream: str) -> str:
    """A go.mod that can build ``program``.

    Kubernetes' staging modules are required as v0.0.0 and replaced by folders that only its repository has; the
    same code is published under v0.<minor>.<patch>.

    :param upstream: text of the module's own go.mod.
    """
    lines = [
        "module goldcrest.invalid/bed",
        next(line for line in upstream.splitlines() if line.startswith("go ")),
        f"require {program.module} {program.version}",
    ]
    for line in upstream.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].startswith("k8s.io/") and words[1] == "v0.0.0":
            lines.append(f"replace {words[0]} => {words[0]} v0{program.version.removeprefix('v1')}")
    return "\n".join(lines) + "\n"


def ldflags(program: GoProgram) -> str:
    """Linker flags: no symbols, and Kubernetes' version, which clients and feature gates look at."""
    flags = ["-s", "-w"]
    if program.module == "k8s.io/kubernetes":
        major, minor, _ = program.version.removeprefix("v").split(".")
        known = {"gitVersion": program.version, "gitMajor": major, "gitMinor": minor}
        flags += [f"-X k8s.io/component-base/version.{key}={value}" for key, value in known.items()]
    return " ".join(flags)
