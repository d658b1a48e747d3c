"""The gateway's own switch: a file that takes it, or one System, out of service, without a restart."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from component.api.gateway import SYSTEM, Gateway, running_gateway
from goldcrest.errors import InvalidInput
from goldcrest_api import maintenance
from goldcrest_api.maintenance import Maintenance, parse_closed

pytestmark = pytest.mark.component

OTHER = SYSTEM | {"metadata": {"name": "other"}}


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "LOOK_SECONDS", 0.02)


async def _until(gateway: Gateway, status: int, path: str = "/tasks", **more: str) -> None:
    async def answered() -> bool:
        return (await gateway.request("GET", path, **more)).status == status  # type: ignore[arg-type]

    await gateway.eventually(answered)


async def test_gateway_is_switched_off_and_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """503 with the message for every route, known or not, with and without a token; health and documentation stay. Then all is as before."""
    file = tmp_path / "maintenance.toml"
    async with running_gateway(tmp_path, change={"maintenance_file": file}) as gateway:
        assert (await gateway.request("GET", "/tasks")).status == 200
        file.write_text('message = "New network until noon."\nretry_after_seconds = 600\n')
        await _until(gateway, 503)
        for method, path, user in (
            ("GET", "/tasks", "alice"),
            ("POST", "/compute/jobs/upload", None),
            ("GET", "/no", None),
        ):
            reply = await gateway.request(method, path, user=user)
            assert (reply.status, reply.json()) == (503, {"message": "New network until noon."})
            assert reply.headers["Retry-After"] == "600"
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/livez", "/readyz", "/docs", "/docs/start.js", "/openapi.json"):
            assert (await gateway.request("GET", path, user=None)).status == 200
        assert (await gateway.request("GET", "/readyz", user=None)).json()["maintenance"] == "on"
        assert gateway.node.asked == []
        with caplog.at_level(logging.INFO, logger="goldcrest_api.access"):
            await gateway.request("GET", "/tasks")
        fields = next(record for record in caplog.records if record.message == "request").fields  # type: ignore[attr-defined]
        assert (fields["code"], fields["reason"]) == ("Maintenance", "New network until noon.")
        file.unlink()
        await _until(gateway, 200)


async def test_one_system_is_switched_off(tmp_path: Path) -> None:
    """Its requests end as for any system that is not available, with the message; the other works, and so do tasks."""
    file = tmp_path / "maintenance.toml"
    file.write_text('[systems]\ncluster = "Disks are exchanged."\n')
    async with running_gateway(tmp_path, change={"maintenance_file": file}, systems=(SYSTEM, OTHER)) as gateway:
        gateway.node.files["/a"] = b""
        reply = await gateway.request("GET", "/utilities/stat?targetPath=/a")
        assert (reply.status, reply.json()["error"]) == (400, "Disks are exchanged.")
        assert reply.headers["X-Machine-Not-Available"] == "Machine is not available"
        assert reply.headers["Retry-After"] == "60"
        assert gateway.node.asked == []
        assert (await gateway.upload()).status == 400
        shown = (await gateway.request("GET", "/status/systems/cluster")).json()["out"]
        assert (shown["status"], shown["description"]) == ("not available", "System does not accept connections")
        assert (await gateway.request("GET", "/utilities/stat?targetPath=/a", machine="other")).status == 200
        assert (await gateway.request("GET", "/tasks")).status == 200
        file.write_text("")
        await _until(gateway, 200, "/utilities/stat?targetPath=/a")


async def test_file_that_becomes_wrong_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was in force stays so, and the log says what is wrong, once."""
    file = tmp_path / "maintenance.toml"
    file.write_text('message = "closed"\n')
    async with running_gateway(tmp_path, change={"maintenance_file": file}) as gateway:
        assert (await gateway.request("GET", "/tasks")).status == 503
        file.write_text('mesage = "typo"\n')

        async def said() -> bool:
            return "maintenance.wrong" in caplog.messages

        await gateway.eventually(said)
        assert (await gateway.request("GET", "/tasks")).status == 503
        (record,) = (record for record in caplog.records if record.message == "maintenance.wrong")
        assert "mesage" in record.fields["reason"]  # type: ignore[attr-defined]
        file.write_text("")
        await _until(gateway, 200)


@pytest.mark.parametrize(
    "text", ["message = ", "message = 1", "systems = ['a']", "retry_after_seconds = 0", "closed = true"]
)
def test_file_that_is_wrong_at_the_start(tmp_path: Path, text: str) -> None:
    """The gateway does not start, and says why."""
    file = tmp_path / "maintenance.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match="maintenance file"):
        Maintenance(file)
    assert parse_closed("").message == ""
