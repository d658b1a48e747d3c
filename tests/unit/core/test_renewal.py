from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from component.admission.certificates import Tls
from goldcrest.renewal import LOOK_SECONDS, TlsFiles

pytestmark = pytest.mark.unit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[Callable[[ssl.SSLContext], object]]:
    """A server on this context; gives a call that connects and returns the serial of what it showed."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]

    async def shown(client: ssl.SSLContext) -> int:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        data = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(data).serial_number

    async with server:
        yield shown


def serial_of(path: Path) -> int:
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


@pytest.fixture
def authority(tmp_path: Path) -> Tls:
    return Tls(tmp_path)


async def test_a_renewed_certificate(authority: Tls, caplog: pytest.LogCaptureFixture) -> None:
    """New connections see the new certificate within the time between two looks; half a renewal changes nothing."""
    caplog.set_level("INFO", logger="goldcrest")
    clock = Clock()
    crt, key = authority.server("it")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    files = TlsFiles(context, certificate=crt, key=key, clock=clock)
    client = ssl.create_default_context(cafile=authority.ca)
    async with serving(context) as shown:
        first = serial_of(crt)
        assert await shown(client) == first
        old_key = key.read_bytes()
        authority.server("it")
        new_key = key.read_bytes()
        key.write_bytes(old_key)  # the certificate came, its key did not yet
        clock.now = LOOK_SECONDS
        files.refresh()
        assert await shown(client) == first
        key.write_bytes(new_key)
        files.refresh()
        assert await shown(client) == first, "looked at too often"
        clock.now *= 2
        files.refresh()
        assert await shown(client) == serial_of(crt) != first
        key.unlink()
        clock.now *= 2
        files.refresh()
        assert await shown(client) == serial_of(crt)
    told = [record for record in caplog.records if record.name == "goldcrest.renewal"]
    assert [record.getMessage() for record in told] == ["tls.files.wrong", "tls.files.renewed", "tls.files.wrong"]
    assert str(key) in vars(told[0])["fields"]["files"]


async def test_another_authority(authority: Tls, tmp_path: Path) -> None:
    """A client trusts the servers of an authority that is added to its file; a damaged file changes nothing."""
    clock = Clock()
    (tmp_path / "next").mkdir()
    following = Tls(tmp_path / "next")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.ca.read_bytes())
    client = ssl.create_default_context(cafile=trusted)
    files = TlsFiles(client, authorities=trusted, clock=clock)
    old, new = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(*authority.server("it"))
    new.load_cert_chain(*following.server("it"))
    async with serving(old) as by_old, serving(new) as by_new:
        with pytest.raises(ssl.SSLCertVerificationError):
            await by_new(client)
        trusted.write_text("no certificate")
        clock.now += LOOK_SECONDS
        files.refresh()
        assert await by_old(client)
        trusted.write_bytes(authority.ca.read_bytes() + following.ca.read_bytes())
        clock.now += LOOK_SECONDS
        files.refresh()
        assert await by_new(client)
        assert await by_old(client)
