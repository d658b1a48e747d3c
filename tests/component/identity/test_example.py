"""The script that docs/identity.md gives to developers of portals, run as it stands."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from component.admission.stage import REPOSITORY
from component.identity import flows
from component.identity.identity_stage import IdentityStage
from component.identity.issuers import Issuers

pytestmark = pytest.mark.component

SCRIPT = REPOSITORY / "examples" / "get_token.py"


async def _started(urls: dict[str, Any], issuers: Issuers) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *(str(SCRIPT), "--issuer", urls["issuer"], "--client", "web", "--port", str(issuers.redirect_port)),
        "--no-browser",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_get_token(stage: IdentityStage, light: dict[str, Any], issuers: Issuers) -> None:
    """It says where to sign in, and prints a token that both doors take."""
    script = await _started(light, issuers)
    assert script.stderr is not None
    words = (await asyncio.wait_for(script.stderr.readline(), 30)).decode()
    assert words.startswith("Sign in at http://127.0.0.1:"), words
    async with flows.person(light, "alice") as browser:
        page = await browser.sign_in(words.split()[-1])
    assert page.text == "Thank you. You may close this page.\n"
    out, err = await asyncio.wait_for(script.communicate(), 30)
    assert (script.returncode, err) == (0, b"")
    await stage.granted(out.decode().strip(), user="alice")


async def test_an_answer_to_another_request(light: dict[str, Any], issuers: Issuers) -> None:
    """A code that somebody else's page sends here is not taken."""
    script = await _started(light, issuers)
    assert script.stderr is not None
    await asyncio.wait_for(script.stderr.readline(), 30)
    async with flows.person(light, "alice") as browser:
        await browser.sign_in(f"{issuers.redirect_uri}?code=theirs&state=theirs")
    out, err = await asyncio.wait_for(script.communicate(), 30)
    assert (script.returncode, out) == (1, b"")
    assert b"sign in again" in err
