"""The operator's look at a System: sshd by sshd, scheduler, file systems, on real filters; and what is known without an observer."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from component.api.node_with_programs import RealNode, real_node
from component.operator.paper_scheduler import PaperScheduler
from component.ssh.login_node import SYSTEM, LoginNode, Request, ScriptedFilter, TinyAuthority, spec_of
from component.ssh.test_jump_host import relay_to
from goldcrest.errors import SystemUnreachable
from goldcrest.ssh import SshPool, SshSettings
from goldcrest_operator.looking import SystemLook
from goldcrest_operator.reconcile.system import Probed, Seen, SystemResource
from goldcrest_operator.scheduler.interface import CommandRunner, Scheduler
from goldcrest_operator.scheduler.slurm import SlurmScheduler

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.getuid() != 0, reason="the filter wants files of root"),
]

OBSERVER = "nobody"
# Answers as Slurm does for a job that it does not know; silent or away as a file beside it says.
SCONTROL = r"""#!/bin/sh
cd "$(dirname "$0")/.."
echo "$*" >> asked
if [ -e hangs ]; then sleep 30; fi
if [ -e away ]; then echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1; fi
echo 'slurm_load_jobs error: Invalid job id specified' >&2
exit 1
"""


@pytest.fixture
async def node() -> AsyncIterator[RealNode]:
    async with real_node({"scontrol": SCONTROL}) as running:
        (running.folder / "asked").write_text("")
        (running.folder / "asked").chmod(0o666)
        yield running


def looked_at(node: RealNode, *, observer: str | None = OBSERVER, name: str = "cluster", **spec: Any) -> SystemResource:
    scheduler = {"type": "Slurm"} | ({"observer": observer} if observer else {})
    whole = {**node.system["spec"], "scheduler": scheduler, **spec}
    return SystemResource.of({"metadata": {"name": name, "uid": "u", "generation": 1}, "spec": whole})


async def look(
    node: RealNode,
    system: SystemResource,
    *,
    seconds: float = 5,
    scheduler: Callable[[CommandRunner], Scheduler] = SlurmScheduler,
    authority: TinyAuthority | None = None,
) -> Probed:
    signs = authority or node.authority
    sees = SystemLook(lambda: SshPool(signs, SshSettings()), scheduler=scheduler, seconds=seconds)
    return await sees(system)


def states(seen: tuple[Seen, ...]) -> dict[str, str]:
    return {one.place or one.name: one.state for one in seen}


def file_systems(*paths: Path) -> list[dict[str, str]]:
    return [{"name": path.name, "path": str(path)} for path in paths]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_all_is_well(node: RealNode) -> None:
    """Each thing is up, with how long it took to look; the observer asked for one job, and no list."""
    seen = await look(node, looked_at(node, fileSystems=file_systems(node.folder, node.folder / "bin")))
    assert seen.ready
    assert {one.state for one in (*seen.services, *seen.file_systems)} == {"Up"}
    assert [one.name for one in seen.services] == ["ssh", "scheduler"]
    assert all(one.milliseconds is not None and one.milliseconds < 5000 for one in (*seen.services, *seen.file_systems))
    assert (node.folder / "asked").read_text() == "--local show job -o 1\n"


async def test_object_store(node: RealNode) -> None:
    """Looked at beside the others, also where nobody may log in; one that is away changes nothing of them."""
    url = f"http://127.0.0.1:{closed_port()}"
    for observer in (OBSERVER, None):
        seen = await look(node, looked_at(node, observer=observer, objectStore={"url": url}))
        assert seen.ready
        assert [(one.name, one.state) for one in seen.services if one.place == url] == [("object-store", "Down")]
        assert states(seen.services)["scheduler"] == ("Up" if observer else "Unknown")


async def test_hosts_are_looked_at_one_by_one(node: RealNode) -> None:
    """A dead one beside a good one is seen, and the System is ready; one that shows another key is down."""
    (host,) = node.system["spec"]["hosts"]
    dead = {**host, "port": closed_port()}
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()
    wrong = {**host, "address": "localhost", "hostKeys": [" ".join(other[:2])]}
    seen = await look(node, looked_at(node, hosts=[dead, host, wrong]))
    hosts = [one for one in seen.services if one.name == "ssh"]
    assert seen.ready
    assert [one.state for one in hosts] == ["Down", "Up", "Down"]
    assert "cannot be reached" in hosts[0].message
    assert "but its System pins" in hosts[2].message
    alone = await look(node, looked_at(node, hosts=[dead, wrong]))
    assert not alone.ready
    assert "cannot be reached" in alone.message


async def test_scheduler_that_is_away(node: RealNode) -> None:
    """Down, in its own words; the host is up, and so are file systems."""
    (node.folder / "away").touch()
    seen = await look(node, looked_at(node, fileSystems=file_systems(node.folder)))
    assert states(seen.services)["scheduler"] == "Down"
    assert "Unable to contact slurm controller" in seen.services[-1].message
    assert (seen.ready, seen.file_systems[0].state) == (True, "Up")


async def test_scheduler_that_is_not_slurm(node: RealNode) -> None:
    """It is asked by the interface alone; Slurm's commands are not run."""
    paper = PaperScheduler()
    seen = await look(node, looked_at(node), scheduler=lambda _: paper)
    assert states(seen.services)["scheduler"] == "Up"
    paper.away = True
    seen = await look(node, looked_at(node), scheduler=lambda _: paper)
    assert states(seen.services)["scheduler"] == "Down"
    assert (node.folder / "asked").read_text() == ""


async def test_scheduler_that_hangs(node: RealNode) -> None:
    """Down after its time; nothing else waits for it."""
    (node.folder / "hangs").touch()
    began = time.monotonic()
    seen = await look(node, looked_at(node, fileSystems=file_systems(node.folder)), seconds=1.5)
    assert time.monotonic() - began < 6
    assert states(seen.services)["scheduler"] == "Down"
    assert seen.file_systems[0].state == "Up"


async def test_file_systems_that_do_not_answer(node: RealNode) -> None:
    """Not there: down. A file in its place: down. One the observer may not reach: unknown, for that says nothing of it."""
    (node.folder / "file").touch()
    (node.folder / "closed").mkdir(mode=0o700)
    (node.folder / "closed" / "inside").mkdir()
    paths = [node.folder / "gone", node.folder / "file", node.folder / "closed" / "inside", Path("/usr"), node.folder]
    seen = await look(node, looked_at(node, fileSystems=file_systems(*paths)))
    assert [one.state for one in seen.file_systems] == ["Down", "Down", "Unknown", "Unknown", "Up"]
    assert "is no directory" in seen.file_systems[1].message
    assert "the observer may not look at it" in seen.file_systems[2].message


async def test_dead_file_system_takes_no_other_with_it() -> None:
    """A filter that hangs in one does nothing else on that channel; the others are looked at on channels of their own."""
    busy: defaultdict[str, asyncio.Lock] = defaultdict(
        asyncio.Lock
    )  # by session: one thing at a time, as the filter is

    async def answer(request: Request) -> None:
        async with busy[request.command["sid"]]:
            if request.command["args"].get("path") == "/dead":
                await asyncio.sleep(30)
            request.answer(mode=0o40755, jobs=[])

    authority = TinyAuthority()
    node = await LoginNode(authority, ScriptedFilter(answer)).start()
    try:
        raw = spec_of(node).model_dump(mode="json", by_alias=True, exclude_none=True)
        fake = RealNode(None, authority, {"spec": raw}, Path("/"))  # type: ignore[arg-type]
        paths = [Path("/dead"), Path("/scratch"), Path("/home")]
        seen = await look(
            fake, looked_at(fake, name=SYSTEM, observer="alice", fileSystems=file_systems(*paths)), seconds=1
        )
        assert [one.state for one in seen.file_systems] == ["Down", "Up", "Up"]
    finally:
        await node.stop()


async def test_a_look_without_an_end(node: RealNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should one of its parts have none after all, the System is looked at again."""

    async def never(*_: object) -> Probed:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(SystemLook, "_all", never)
    with pytest.raises(SystemUnreachable, match=r"did not end within 0\.6 s; it is looked at again"):
        await look(node, looked_at(node), seconds=0.1)


async def test_without_an_observer(node: RealNode) -> None:
    """Nobody logs in: the hosts' keys are looked at, and the rest is unknown and says why."""
    seen = await look(node, looked_at(node, observer=None, fileSystems=file_systems(node.folder)))
    assert seen.ready
    assert [one.state for one in (*seen.services, *seen.file_systems)] == ["Up", "Unknown", "Unknown"]
    assert "names no observer" in seen.file_systems[0].message
    assert node.authority.sessions == 0
    assert (node.folder / "asked").read_text() == ""


async def test_observer_who_is_kept_out(node: RealNode) -> None:
    """An account that expired says nothing of the system: nobody could look."""
    (host,) = node.system["spec"]["hosts"]
    jump = await LoginNode(node.authority, relay_to(host["port"])).start()
    through = {**host, "via": {"address": "127.0.0.1", "port": jump.port, "hostKeys": [jump.public_host_key]}}
    try:
        for hosts, state in (([host], "Up"), ([through], "Unknown")):
            system = looked_at(node, hosts=hosts, fileSystems=file_systems(node.folder))
            seen = await look(node, system, authority=TinyAuthority())
            assert seen.ready
            assert [one.state for one in (*seen.services, *seen.file_systems)] == [state, "Unknown", "Unknown"]
            assert "refused the login of nobody" in seen.file_systems[0].message
    finally:
        await jump.stop()


async def test_behind_a_jump_host(node: RealNode) -> None:
    """With an observer the login host itself is seen, dead or alive; without, only that the jump host answers."""
    (host,) = node.system["spec"]["hosts"]
    jump, blind = (LoginNode(node.authority, relay_to(port)) for port in (host["port"], closed_port()))
    await asyncio.gather(jump.start(), blind.start())
    try:

        def through(edge: LoginNode) -> list[dict[str, Any]]:
            return [{**host, "via": {"address": "127.0.0.1", "port": edge.port, "hostKeys": [edge.public_host_key]}}]

        assert (await look(node, looked_at(node, hosts=through(jump)))).services[0].state == "Up"
        (node.folder / "asked").write_text("")
        other = {"type": "Slurm", "observer": OBSERVER, "cluster": "second"}
        assert (await look(node, looked_at(node, hosts=through(jump), scheduler=other))).services[0].state == "Up"
        asked = (node.folder / "asked").read_text().splitlines()
        assert asked == ["--clusters=second show job -o 1"] * 2, "delegation signs nothing about another cluster"
        dead = await look(node, looked_at(node, hosts=through(blind)), seconds=3)
        assert (dead.services[0].state, dead.ready) == ("Down", False)
        unknown = await look(node, looked_at(node, observer=None, hosts=through(blind)))
        assert (unknown.services[0].state, unknown.ready) == ("Unknown", True)
        assert "The jump host answers" in unknown.services[0].message
    finally:
        await asyncio.gather(jump.stop(), blind.stop())
