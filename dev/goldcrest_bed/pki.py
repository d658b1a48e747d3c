"""The bed's certificate authority and keys, by openssl and ssh-keygen."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldcrest_bed.command import output, succeeds

_DAYS = 3650
_RENEW_SECONDS = 30 * 24 * 3600
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """Paths of a PEM certificate and its unencrypted key (mode 0600)."""

    crt: Path
    key: Path


class Pki:
    """Certificates below one folder; each is made once and again when its names change or it is about to expire."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    @property
    def ca(self) -> Certificate:
        """The authority."""
        ca = Certificate(crt=self.folder / "ca.crt", key=self.folder / "ca.key")
        with self._lock:
            if not _usable(ca):
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                _openssl(
                    ca,
                    "/CN=goldcrest-bed",
                    "basicConstraints=critical,CA:TRUE",
                    "keyUsage=critical,keyCertSign,cRLSign",
                )
        return ca

    def serving(self, name: str, names: Sequence[str]) -> Certificate:
        """A certificate for a local TLS server.

        :param name: file name, and the subject.
        :param names: subject alternative names, such as ``DNS:localhost`` or ``IP:127.0.0.1``.
        """
        return self._issue(
            name,
            f"/CN={name}",
            f"subjectAltName={','.join(names)}",
            "extendedKeyUsage=serverAuth",
            "keyUsage=critical,digitalSignature",
        )

    def client(self, name: str, user: str, groups: Sequence[str] = ()) -> Certificate:
        """A client certificate as Kubernetes reads it: CN is the user, each O is a group."""
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        return self._issue(name, subject, "extendedKeyUsage=clientAuth", "keyUsage=critical,digitalSignature")

    def _issue(self, name: str, subject: str, *extensions: str) -> Certificate:
        ca = self.ca
        leaf = Certificate(crt=self.folder / f"{name}.crt", key=self.folder / f"{name}.key")
        mark = self.folder / f".{name}.sha256"
        wanted = hashlib.sha256(repr((subject, extensions, ca.crt.read_text())).encode()).hexdigest()
        with self._lock:
            made_for = mark.read_text() if mark.exists() else ""
            if made_for != wanted or not _usable(leaf):
                _openssl(leaf, subject, "basicConstraints=critical,CA:FALSE", *extensions, signer=ca)
                mark.write_text(wanted)
        return leaf

    def rsa_key(self, name: str) -> tuple[Path, Path]:
        """Private and public RSA key (2048 bits), for signing service account tokens."""
        key, public = self.folder / f"{name}.key", self.folder / f"{name}.pub"
        with self._lock:
            if not (key.exists() and public.exists()):
                _atomically(key, lambda path: output(["openssl", "genrsa", "-out", str(path), "2048"]))
                output(["openssl", "rsa", "-in", str(key), "-pubout", "-out", str(public)])
        return key, public

    def ssh_key(self, name: str, comment: str) -> Path:
        """An Ed25519 key pair for SSH (private key mode 0400, public key beside it as ``.pub``)."""
        key = self.folder / name
        with self._lock:
            if not (key.exists() and key.with_name(f"{name}.pub").exists()):
                key.unlink(missing_ok=True)
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                output(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(key)])
                key.chmod(0o400)
        return key

    def secret(self, name: str) -> str:
        """A random secret (32 URL-safe characters) that stays the same until ``down --purge``."""
        path = self.folder / f"{name}.secret"
        with self._lock:
            if not path.exists():
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                _atomically(path, lambda target: target.write_text(secrets.token_urlsafe(24)))
            return path.read_text()


def _usable(certificate: Certificate) -> bool:
    return certificate.key.exists() and succeeds(
        ["openssl", "x509", "-checkend", str(_RENEW_SECONDS), "-noout", "-in", str(certificate.crt)]
    )


def _openssl(target: Certificate, subject: str, *extensions: str, signer: Certificate | None = None) -> None:
    signing = ["-CA", str(signer.crt), "-CAkey", str(signer.key)] if signer else []
    added = [word for extension in extensions for word in ("-addext", extension)]
    with tempfile.TemporaryDirectory(dir=target.crt.parent, prefix=".issuing-") as folder:
        crt, key = Path(folder) / "crt", Path(folder) / "key"
        # -config /dev/null: without the distribution's defaults, which add a second basicConstraints
        request = ["openssl", "req", "-x509", "-config", "/dev/null", *_EC, "-days", str(_DAYS), "-subj", subject]
        output([*request, *signing, *added, "-keyout", str(key), "-out", str(crt)])
        key.chmod(0o600)
        key.rename(target.key)
        crt.rename(target.crt)


def _atomically(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    write(temporary)
    temporary.rename(path)
