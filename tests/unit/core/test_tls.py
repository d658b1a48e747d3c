from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.tls import check_server, client_context

pytestmark = pytest.mark.unit

OPENSSL = [
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-subj",
    "/CN=x",
]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    return make(tmp_path, "one")


def make(folder: Path, name: str) -> tuple[Path, Path]:
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        [*OPENSSL, "-keyout", str(key), "-out", str(crt)],
        check=True,
        capture_output=True,
    )
    return crt, key


def test_what_fits(pair: tuple[Path, Path]) -> None:
    """A chain and its key, and certificates to verify callers against."""
    check_server(*pair, client_ca=pair[0])
    assert client_context(pair[0]).get_ca_certs()


def test_what_does_not_fit(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    """The file is named, and what to do; never what is in it."""
    crt, key = pair
    _, other = make(tmp_path, "other")
    empty = tmp_path / "empty"
    empty.write_text("no PEM: hunter2\n")
    for arguments, words in (
        ((tmp_path / "absent", key), "absent is not there: write it"),
        ((crt, tmp_path / "absent"), "absent is not there: write it"),
        ((crt, other), "other.key cannot be used together (KEY_VALUES_MISMATCH)"),
        ((empty, key), "empty and the private key"),
    ):
        with pytest.raises(InvalidInput) as refused:
            check_server(*arguments)
        assert words in refused.value.message
        assert "hunter2" not in refused.value.message
    with pytest.raises(InvalidInput, match="empty holds no certificates in PEM"):
        check_server(crt, key, client_ca=empty)
    with pytest.raises(InvalidInput, match="absent is not there"):
        client_context(tmp_path / "absent")
