"""docs/portal.md and examples/portal as they stand, on the bed: a person logs in with a browser and runs a job."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from bed import Bed
from component.identity import flows
from goldcrest.telemetry import Trace

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "portal.md"
URL = "http://127.0.0.1:28091"


def _block(language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(block)


@contextlib.contextmanager
def _running(log: Path) -> Iterator[None]:
    """The page's commands, until the end."""
    with log.open("wb") as out:
        argv = ["/bin/sh", "-e", "-c", _block("sh")]  # the last of them replaces the shell
        process = subprocess.Popen(argv, cwd=REPOSITORY, stdout=out, stderr=out)
        try:
            assert Bed.until(lambda: process.poll() is not None or _asked(), bool), "nothing answers"
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(20)


def _asked() -> bool:
    """Whether it asks who comes without a session to log in."""
    try:
        return httpx2.get(URL, timeout=5).status_code == 401
    except httpx2.TransportError:
        return False


async def test_person_runs_a_job(bed: Bed, tmp_path: Path) -> None:
    """From the login page to the output's state; nothing that is secret is in what the portal writes, and its trace goes through."""
    log = tmp_path / "log"
    with _running(log):
        async with flows.person(bed.facts["oidc"], "alice") as browser:
            page = await browser.sign_in(URL + "/login", until=URL + "/")
            assert "You are <b>alice</b>" in page.text, page
            assert page.form is not None
            fields = page.form.fields | {"script": "#!/bin/bash\necho hello\n"}
            page = await browser.open(URL + "/jobs", data=fields)
            task = page.url.rpartition("/")[2]
            async with asyncio.timeout(60):
                while "<p>200:" not in page.text:
                    page = await browser.open(page.url)
                    assert page.status == 200, page.text
                    await asyncio.sleep(0.2)
            (job,) = await asyncio.to_thread(bed.slurm_jobs_of, task)
            assert job["JobID"] in page.text
            codes = {parse_qs(urlsplit(url).query)["code"][0] for url in browser.urls if "code=" in url}
            assert len(codes) == 1
    written = await asyncio.to_thread(log.read_text)
    for secret in (*codes, bed.facts["oidc"]["clients"]["web-portal"]["secret"], "eyJ", "Bearer"):
        assert secret not in written
    traces = re.findall(r"POST /jobs trace=([0-9a-f]{32})", written)
    assert len(traces) == 1
    assert any(task in line or "/compute/jobs/upload" in line for line in bed.log_lines("goldcrest-api", traces[0]))


def test_call_of_the_page(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """The example of a call, which prints who one is and the trace."""
    trace = Trace.new()
    with httpx2.Client() as client:
        names: dict[str, Any] = {"client": client, "api": bed.api, "token": bed.token(), "traceparent": trace.header}
        exec(compile(_block("python"), str(PAGE), "exec"), names)
    assert capsys.readouterr().out.split() == ["alice", trace.trace_id]
