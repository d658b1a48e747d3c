"""The real ssh-filter killed at a point (tests/faults): how often sbatch ran, and what the client is told; the next filter goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from component.api.node_with_programs import SYSTEM, RealNode, real_node
from component.ssh.login_node import FILTER
from faults.nodes import LAUNCHER
from goldcrest.authority import ByToken
from goldcrest.commands import Payload, WhoAmI
from goldcrest.commands.slurm import Submit
from goldcrest.errors import AnswerLost, CommandFailed, GoldcrestError, SystemUnreachable
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Trace

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.getuid() != 0, reason="the filter wants files of root"),
]

SBATCH = '#!/bin/sh\necho ran >> "$(dirname "$0")/../ran"\necho 7\n'
POINTS = {
    "before-verification": (0, False),
    "after-verification": (0, False),
    "before-exec": (0, True),
    "before-answer": (1, True),
}
"""How often sbatch had run when the filter died, and whether it had left its mark."""


async def submitted(node: RealNode, *, again: bool = False) -> object:
    script = b"#!/bin/sh\n"
    header = b'{"environment":{}}'
    payload = len(header).to_bytes(4, "big") + header + script
    command = Submit(
        token="goldcrest:12345678:" + "a" * 32,
        job_directory=str(node.folder / "job"),
        work_directory=str(node.folder / "job"),
        script_name="job.sh",
        content=Payload.of(payload),
        again=again,
    )
    return (await node.pool.run(command, payload=payload, **where(node))).result


def where(node: RealNode) -> dict[str, object]:
    spec = SystemSpec.model_validate(node.system["spec"])
    return {"system": SYSTEM, "spec": spec, "user": "root", "basis": ByToken("token"), "trace": Trace.new()}


def furnish(folder: Path, point: str) -> None:
    shutil.copy(FILTER, folder / "goldcrest_ssh_filter.py")
    shutil.copy(LAUNCHER, folder / "filter")
    (folder / "armed").mkdir()
    (folder / "armed" / f"{point}@slurm.submit").touch()


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at(point: str) -> None:
    """The client is told that it does not know; whoever asks again learns from the mark, and sbatch runs once in all."""
    runs, marked = POINTS[point]
    async with real_node({"sbatch": SBATCH, "scontrol": "#!/bin/sh\n"}) as node:
        await asyncio.to_thread(furnish, node.folder, point)
        assert (await node.pool.run(WhoAmI(), **where(node))).result["user"] == "root"  # type: ignore[arg-type]
        with pytest.raises((AnswerLost, SystemUnreachable)):
            await submitted(node)
        ran = node.folder / "ran"
        assert (ran.read_text().count("ran") if ran.exists() else 0) == runs
        assert not list((node.folder / "armed").iterdir())
        if marked:
            with pytest.raises(CommandFailed) as failed:
                await submitted(node)
            assert failed.value.kind == "repeated"
        else:
            await submitted(node)
        assert (ran.read_text().count("ran") if ran.exists() else 0) == (runs if marked else 1)


async def test_takes_others_of_its_channel_along() -> None:
    """Commands beside it on the channel are lost with it, and one that may be repeated is answered by the next filter."""
    async with real_node({"sbatch": SBATCH, "scontrol": "#!/bin/sh\n"}) as node:
        await asyncio.to_thread(furnish, node.folder, "before-answer")
        found = await asyncio.gather(
            submitted(node),
            *(node.pool.run(WhoAmI(), **where(node)) for _ in range(10)),  # type: ignore[arg-type]
            return_exceptions=True,
        )
        assert isinstance(found[0], GoldcrestError)
        assert all(isinstance(one, GoldcrestError) or one.result["user"] == "root" for one in found[1:])  # type: ignore[union-attr]
        assert (await node.pool.run(WhoAmI(), **where(node))).result["user"] == "root"  # type: ignore[arg-type]
