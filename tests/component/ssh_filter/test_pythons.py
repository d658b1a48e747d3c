"""The filter and the check under every other Python of this machine: login nodes have 3.6 (RHEL 8), 3.9, 3.12 …

All component tests run under one of them by GOLDCREST_FILTER_PYTHON (ssh-filter/README.md); these run wherever one is found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

import component.ssh_filter.node as node_module
from component.ssh_filter.node import ANSWER, FILTER, Node

pytestmark = pytest.mark.component


def interpreters() -> list[str]:
    """Pythons from 3.6 on that start: on the PATH, and those of pyenv, whatever is in front there."""
    names = [f"python3.{minor}" for minor in range(6, 16)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(path) for name in names for path in sorted(pyenv.glob(f"*/bin/{name}"))]
    found += [path for name in names if (path := shutil.which(name)) and "shims" not in path]
    works = [
        path
        for path in found
        if subprocess.run([path, "-IS", "-c", ""], capture_output=True, check=False).returncode == 0
    ]
    return list(dict.fromkeys(works))


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: Path(path).name)
def test_a_channel(node: Node, monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    """Hello, both ways to verify, a file, a program, and a refusal; as root, for other users may not reach that Python."""
    for name, value in (("PYTHON", python), ("USER", "root"), ("UID", 0)):
        monkeypatch.setattr(node_module, name, value)
    node.policy["minUid"] = 0
    node.program("squeue", "echo none")
    for libcrypto in (True, False):
        node.policy["useLibcrypto"] = libcrypto
        channel = node.open()
        assert channel.ask("sys.whoami", {})["uid"] == 0
        path = f"{node.home}/{libcrypto}"
        written = channel.ask("fs.write", {"path": path, "mode": 0o600, "overwrite": True}, b"x" * 100000)
        assert written["size"] == 100000
        got = channel.call("fs.read", {"path": path, "offset": 5, "length": 7})
        assert (got.type, got.body[:7]) == (ANSWER, b"x" * 7)
        assert channel.ask("slurm.queue", {"scope": "own"})["stdout"] == "none\n"
        forged = channel.certificate("sys.whoami", {}, ca=ed25519.Ed25519PrivateKey.generate(), claimed_ca=node.ca)
        assert channel.refusal(forged.build()) == "signature"
        assert channel.end() == 0


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: Path(path).name)
def test_the_check(node: Node, python: str) -> None:
    """Where install.sh puts things, compiled by that very Python: it looks at all, and stumbles over nothing."""
    folder = node.folder / "libexec"
    folder.mkdir()
    for source, target in (
        (FILTER, "goldcrest_ssh_filter.py"),
        (FILTER.parent / "goldcrest_node_check.py", "goldcrest_node_check.py"),
        (FILTER.parent / "launcher", "ssh-filter"),
    ):
        shutil.copyfile(source, folder / target)
    subprocess.run([python, "-I", "-m", "py_compile", *map(str, folder.glob("*.py"))], check=True)
    done = subprocess.run(
        [
            python,
            "-IS",
            str(folder / "ssh-filter"),
            "--check",
            "--policy",
            "/nowhere",
            "--sshd-config",
            "/nowhere",
            "--user",
            "goldcrest-nobody",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "WRONG policy file: /nowhere: No such file or directory" in done.stdout
    assert f"ok    filter: {folder}/__pycache__/goldcrest_ssh_filter.cpython-3" in done.stdout
    assert "the compiled form is not" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith("to look at")
