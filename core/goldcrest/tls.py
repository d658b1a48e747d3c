"""TLS files that settings name: used, or refused in words that say which file and what to do."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from goldcrest.errors import InvalidInput


def client_context(
    ca_file: Path | str | None, *, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """For connections to a server that is verified against ``ca_file`` (PEM), or the system's certificates.

    Args:
        certificate, key: what is shown to a server that asks for it (mTLS), both or neither.

    Raises:
        InvalidInput: naming the file and what to do.
    """
    if ca_file is not None:
        _check_file(Path(ca_file))
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the file {ca_file} holds no certificates in PEM: {_reason(error)}") from error
    if certificate is not None and key is not None:
        _load_pair(context, certificate, key)
    return context


def check_server(certificate: Path, key: Path, *, client_ca: Path | None = None) -> None:
    """What a server is to be started with can be read and fits together.

    Raises:
        InvalidInput: naming the file and what to do.
    """
    _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    if client_ca is not None:
        client_context(client_ca)


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        _check_file(path)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"the TLS certificate {certificate} and the private key {key} cannot be used together ({_reason(error)}): "
            "both must be PEM, and the first certificate that of the key"
        ) from error


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InvalidInput(f"the TLS file {path} is not there: write it, or name another in the settings")
    if not os.access(path, os.R_OK):
        raise InvalidInput(f"the TLS file {path} cannot be read by uid {os.geteuid()}: chown or chmod it")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)
