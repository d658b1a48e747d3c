"""The unmodified client from PyPI against the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from firecrest import v1
from firecrest.FirecrestException import FirecrestException, HeaderException, UnauthorizedException

from component.api.gateway import Gateway
from component.api.neighbours import os_error
from goldcrest.errors import Denied

pytestmark = pytest.mark.component
_T = TypeVar("_T")


class _Token:
    def __init__(self, token: str = "token-alice") -> None:
        self._token = token

    def get_access_token(self) -> str:
        return self._token


@pytest.fixture
def client(gateway: Gateway) -> v1.Firecrest:
    firecrest = v1.Firecrest(firecrest_url=gateway.url, authorization=_Token())
    firecrest.polling_sleep_times = [0.02] * 250
    return firecrest


async def call(function: Callable[..., _T], *args: Any, **more: Any) -> _T:
    """The client blocks: it runs beside the server."""
    return await asyncio.to_thread(function, *args, **more)


async def operate(gateway: Gateway, status: dict[str, Any]) -> None:
    """Write this status into the next Job, as the operator would."""

    async def there() -> bool:
        return bool(gateway.kubernetes.jobs())

    await gateway.eventually(there)
    await gateway.kubernetes.set_status(gateway.kubernetes.jobs()[0]["metadata"]["name"], status)


SUBMITTED = {
    "phase": "Queued",
    "jobId": "102",
    "files": {"script": "/s/script.batch", "stdout": "/s/slurm-102.out", "stderr": "/s/slurm-102.out"},
}


async def test_submit_a_text(gateway: Gateway, client: v1.Firecrest) -> None:
    """Submit, poll, and get the job's id and files."""
    operator = asyncio.create_task(operate(gateway, SUBMITTED))
    result = await call(client.submit, "cluster", script_str="#!/bin/sh\nhostname\n", env_vars={"A": 1})
    await operator
    assert result["jobid"] == "102"
    assert result["job_file_out"] == "/s/slurm-102.out"
    assert result["firecrest_taskid"] == gateway.kubernetes.jobs()[0]["metadata"]["name"].removeprefix("r-")
    assert gateway.kubernetes.jobs()[0]["spec"]["environment"] == {"A": "1"}


async def test_submit_a_local_file(gateway: Gateway, client: v1.Firecrest, tmp_path: Path) -> None:
    """The file's name becomes the script's."""
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n")
    operator = asyncio.create_task(operate(gateway, SUBMITTED))
    result = await call(client.submit, "cluster", script_local_path=str(script), account="proj")
    await operator
    assert result["jobid"] == "102"
    assert gateway.kubernetes.jobs()[0]["spec"]["script"]["name"] == "run.sh"


async def test_submit_a_remote_path(gateway: Gateway, client: v1.Firecrest) -> None:
    """A script on the system."""
    gateway.node.files["/home/alice/run.sh"] = b"#!/bin/sh\n"
    operator = asyncio.create_task(operate(gateway, SUBMITTED))
    result = await call(client.submit, "cluster", script_remote_path="/home/alice/run.sh")
    await operator
    assert result["jobid"] == "102"


async def test_refused_job_raises(gateway: Gateway, client: v1.Firecrest) -> None:
    """With the scheduler's words in the answer that the exception shows."""
    operator = asyncio.create_task(operate(gateway, {"phase": "Failed", "message": "sbatch: error: no"}))
    with pytest.raises(FirecrestException, match="sbatch: error: no"):
        await call(client.submit, "cluster", script_str="#!/bin/sh\n")
    await operator


async def test_cancel(gateway: Gateway, client: v1.Firecrest) -> None:
    """Returns what scancel would say."""
    operator = asyncio.create_task(operate(gateway, SUBMITTED))
    result = await call(client.submit, "cluster", script_str="#!/bin/sh\n")
    await operator
    cancelling = asyncio.create_task(call(client.cancel, "cluster", result["jobid"]))

    async def asked() -> bool:
        return bool(gateway.kubernetes.jobs()[0]["spec"].get("cancel"))

    await gateway.eventually(asked)
    await operate(gateway, {"phase": "Cancelled", "cancelRequestedAt": "2030-01-02T03:04:05Z"})
    assert await cancelling == "scancel: Terminating job 102"


async def test_view_and_status(gateway: Gateway, client: v1.Firecrest) -> None:
    """Reading output, systems and parameters."""
    gateway.node.files["/s/slurm-102.out"] = b"node01\n"
    assert await call(client.view, "cluster", "/s/slurm-102.out") == "node01\n"
    assert (await call(client.all_systems))[0]["status"] == "available"
    assert (await call(client.system, "cluster"))["system"] == "cluster"
    assert "general" in await call(client.parameters)


async def test_errors_are_told_apart(gateway: Gateway, client: v1.Firecrest) -> None:
    """A header of ours becomes its HeaderException, a bad token its own."""
    with pytest.raises(HeaderException, match="Machine does not exist"):
        await call(client.submit, "nowhere", script_str="#!/bin/sh\n")
    gateway.node.failures["fs.stat"] = os_error("EACCES", "/x")
    with pytest.raises(HeaderException, match="does not have permissions"):
        await call(client.view, "cluster", "/x")
    gateway.node.refusal = Denied("no")
    with pytest.raises(HeaderException, match="does not have permissions"):
        await call(client.submit, "cluster", script_str="#!/bin/sh\n")
    stranger = v1.Firecrest(firecrest_url=gateway.url, authorization=_Token("bad-TokenExpired"))
    with pytest.raises(UnauthorizedException, match="JWT token has expired"):
        await call(stranger.all_systems)
