"""One user cannot starve another: two users, and a slow command that the real ssh-filter runs for them."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from component.api.gateway import running_gateway
from component.api.node_with_programs import real_node

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.getuid() != 0, reason="the filter wants files of root"),
]

MANY, FEW = "daemon", "nobody"  # two accounts that every Debian has
SLOW = "#!/bin/sh\nsleep 0.3\nprintf 'one\\ntwo\\nReservationName=course State=ACTIVE TRES=cpu=2\\nend\\n'\n"


async def test_forty_of_one_user_do_not_hold_up_five_of_another(tmp_path: Path) -> None:
    """Who asks for little is served beside who floods the system; the flood beyond its queue gets 429 with Retry-After."""
    limits = {"commands_per_system": 4, "commands_per_user": 4, "waiting_per_user": 36, "waiting_seconds": 60}
    async with (
        real_node({"rsvmgmt": SLOW}) as node,
        running_gateway(tmp_path, change={"limits": limits}, systems=(node.system,), remote=node.pool) as gateway,
    ):
        ended: list[str] = []

        async def ask(user: str) -> int:
            reply = await gateway.request("GET", "/reservations", user=user)
            ended.append(user)
            if reply.status == 429:
                assert reply.json()["code"] == "TooManyCommands"
                assert f"user {user} has 4 commands under way on cluster and 36 waiting" in reply.json()["error"]
                assert int(reply.headers["Retry-After"]) >= 1
            else:
                assert reply.json()["success"] == [{"reservationname": "course", "state": "ACTIVE", "tres": "cpu=2"}]
            return reply.status

        assert await ask(FEW) == 200  # the sessions are open
        assert await ask(MANY) == 200
        ended.clear()
        flood = [asyncio.create_task(ask(MANY)) for _ in range(45)]
        await asyncio.sleep(0.3)
        served = await asyncio.gather(*(ask(FEW) for _ in range(5)))
        of_many_before = Counter(ended)[MANY]
        assert served == [200] * 5
        statuses = Counter(await asyncio.gather(*flood))
        assert statuses == {200: 40, 429: 5}
        # Five were refused at once. In the order of coming, forty more would have ended before the first of the other user.
        assert of_many_before - 5 <= 25
