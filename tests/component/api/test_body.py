"""Bodies whose bytes were made to be no text."""

from __future__ import annotations

import pytest

from component.api.gateway import Gateway

pytestmark = pytest.mark.component

BODY = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="job\\ud800.sh"\r\n\r\n#!/bin/sh\n\r\n'
    b'--b\r\nContent-Disposition: form-data; name="targetPath"\r\n\r\n/\\ud800\r\n'
    b'--b\r\nContent-Disposition: form-data; name="account"\r\n\r\nproj\\ud800\r\n--b--\r\n'
)


@pytest.mark.parametrize("route", ["upload", "path"])
@pytest.mark.parametrize(
    "charset", ["unicode_escape", "undefined", "punycode", "utf-7", "utf-16", "iso-8859-1", "no-such"]
)
async def test_charset_that_is_not_utf_8(gateway: Gateway, route: str, charset: str) -> None:
    """Python's codecs give characters that cannot be sent back, or fail in ways of their own: 400 that names the charset."""
    headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    reply = await gateway.request("POST", f"/compute/jobs/{route}", data=BODY, headers=headers)
    assert reply.status == 400
    assert reply.json()["error"] == f"the form's charset is '{charset}'; send it as utf-8"
    assert gateway.kubernetes.jobs() == []


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf8"'])
async def test_charset_that_is(gateway: Gateway, charset: str) -> None:
    """Said openly, in any spelling, it is what it would have been."""
    headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    body = BODY.replace(b"\\ud800", "\u00fc".encode())
    reply = await gateway.request("POST", "/compute/jobs/upload", data=body, headers=headers)
    assert reply.status == 201, reply
    assert gateway.kubernetes.jobs()[0]["spec"]["account"] == "proj\u00fc"
