"""`ssh-filter --check` on machines with chrony, systemd and SELinux, of which the test machines have none: what they answer is played."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from component.ssh_filter.node import FILTER

pytestmark = pytest.mark.unit

TRACKING = "A29FC87B,time.example,3,1700000000.1,{offset},-0.0,0.0001,-1.2,0.0,0.01,0.02,0.001,64.5,{leap}\n"
PORTS = "smtp_port_t   tcp   25\nssh_port_t    tcp   2222, 8020-8030, 22\n"


class Report:
    """What was said, by its word."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def ok(self, what: str, text: str) -> None:
        self.lines.append(("ok", f"{what}: {text}"))

    def warn(self, what: str, text: str, todo: str) -> None:
        self.lines.append(("warn", f"{what}: {text} → {todo}"))

    def wrong(self, what: str, text: str, todo: str) -> None:
        self.lines.append(("wrong", f"{what}: {text} → {todo}"))


@pytest.fixture
def check(f: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, as the filter loads it; its programs are not there."""
    monkeypatch.setitem(sys.modules, "goldcrest_ssh_filter", f)
    spec = importlib.util.spec_from_file_location("goldcrest_node_check", FILTER.parent / "goldcrest_node_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "run", lambda argv: (127, "", "not found"))
    return module


def playing(answers: dict[str, tuple[int, str]]) -> Callable[[list[str]], tuple[int, str, str]]:
    """Programs that answer by the beginning of their command line."""

    def run(argv: list[str]) -> tuple[int, str, str]:
        line = " ".join(argv)
        status, out = next((answer for words, answer in answers.items() if line.startswith(words)), (127, ""))
        return status, out, ""

    return run


def with_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    isdir = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: path == "/run/systemd/system" or isdir(path))


@pytest.mark.parametrize(
    ("offset", "leap", "word", "says"),
    [
        ("0.000012", "Normal", "ok", "0.0000 s off, says chrony"),
        ("-45.2", "Normal", "wrong", "45 s off, says chrony → chronyc makestep"),
        ("0.1", "Not synchronised", "wrong", "chrony is not synchronised → see `chronyc sources`"),
    ],
)
def test_chrony(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, offset: str, leap: str, word: str, says: str
) -> None:
    """Its own word about how far off the clock is, and whether it follows anything."""
    monkeypatch.setattr(check, "run", playing({"chronyc -c tracking": (0, TRACKING.format(offset=offset, leap=leap))}))
    report = Report()
    check.check_clock(report)
    ((said, text),) = report.lines
    assert said == word
    assert says in text


@pytest.mark.parametrize(("answer", "word"), [("yes\n", "ok"), ("no\n", "warn")])
def test_systemd_says_whether_the_clock_is_synchronised(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, answer: str, word: str
) -> None:
    """Where there is no chrony."""
    with_systemd(monkeypatch)
    monkeypatch.setattr(check, "run", playing({"timedatectl show": (0, answer)}))
    monkeypatch.setattr(os, "scandir", lambda folder: [])
    report = Report()
    check.check_clock(report)
    ((said, _),) = report.lines
    assert said == word


def selinux(check: ModuleType, monkeypatch: pytest.MonkeyPatch, *, enforce: str, label: str, ports: list[str]) -> Any:
    real = builtins.open
    monkeypatch.setattr(
        builtins,
        "open",
        lambda path, *rest, **options: (
            io.StringIO(enforce) if path == "/sys/fs/selinux/enforce" else real(path, *rest, **options)
        ),
    )
    monkeypatch.setattr(os, "getxattr", lambda path, name: label.encode() + b"\0")
    monkeypatch.setattr(check, "run", playing({"semanage port -l": (0, PORTS)}))
    report = Report()
    check.check_selinux(report, "/usr/libexec/goldcrest/ssh-filter", {"listenaddress": ports})
    return report.lines


@pytest.mark.parametrize(
    ("enforce", "label", "ports", "words", "says"),
    [
        ("1", "system_u:object_r:bin_t:s0", ["0.0.0.0:2222", "[::]:8025"], ["ok"], "enforcing; the filter is bin_t"),
        ("0", "system_u:object_r:bin_t:s0", ["0.0.0.0:2222"], ["ok"], "permissive; the filter is bin_t"),
        ("1", "unconfined_u:object_r:user_home_t:s0", ["0.0.0.0:22"], ["wrong"], "restorecon -R /usr/libexec/goldcrest"),
        ("0", "unconfined_u:object_r:user_home_t:s0", ["0.0.0.0:22"], ["warn"], "not bin_t"),
        ("1", "system_u:object_r:bin_t:s0", ["0.0.0.0:2223"], ["ok", "wrong"], "semanage port -a -t ssh_port_t -p tcp 2223"),
        ("1", "system_u:object_r:bin_t:s0", ["0.0.0.0:8031"], ["ok", "wrong"], "port 8031 is not ssh_port_t"),
    ],
)  # fmt: skip
def test_selinux(
    check: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    enforce: str,
    label: str,
    ports: list[str],
    words: list[str],
    says: str,
) -> None:
    """The filter's label, and that sshd may listen where it does; enforced it is wrong, else it will be."""
    lines = selinux(check, monkeypatch, enforce=enforce, label=label, ports=ports)
    assert [word for word, _ in lines] == words
    assert says in lines[-1][1]


@pytest.mark.parametrize(
    ("answers", "word", "says"),
    [
        ({"systemctl is-enabled": (1, "disabled\n")}, "wrong", "disabled → systemctl enable sshd-goldcrest.service"),
        (
            {"systemctl is-enabled": (0, "enabled\n"), "systemctl is-active": (3, "failed\n")},
            "wrong",
            "failed → systemctl restart sshd-goldcrest.service",
        ),
        (
            {
                "systemctl is-": (0, "\n"),
                "systemctl show sshd-goldcrest.service": (0, "system.slice\n"),
            },
            "warn",
            "is in system.slice → set Slice=goldcrest.slice",
        ),
        (
            {
                "systemctl is-": (0, "\n"),
                "systemctl show sshd-goldcrest.service": (0, "goldcrest.slice\n"),
                "systemctl show goldcrest.slice": (0, "MemoryMax=8589934592\nTasksMax=4096\n"),
            },
            "ok",
            "runs in goldcrest.slice, MemoryMax=8589934592, TasksMax=4096",
        ),
    ],
    ids=["disabled", "failed", "another slice", "well"],
)
def test_systemd(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[int, str]], word: str, says: str
) -> None:
    """Whether the unit is there after a restart, runs, and is limited with all its sessions."""
    with_systemd(monkeypatch)
    monkeypatch.setattr(check, "run", playing(answers))
    report = Report()
    check.check_systemd(report)
    ((said, text),) = report.lines
    assert said == word
    assert says in text


def test_without_any_of_them(check: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said once each, and nothing is guessed."""
    monkeypatch.setattr(os, "scandir", lambda folder: [SimpleNamespace(stat=lambda: SimpleNamespace(st_mtime=0.0))])
    isdir = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: path != "/run/systemd/system" and isdir(path))
    report = Report()
    check.check_clock(report)
    check.check_systemd(report)
    assert [word for word, _ in report.lines] == ["warn", "warn"]
