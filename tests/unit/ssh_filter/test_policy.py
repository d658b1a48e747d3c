"""The policy file, the CA file, the revocation list, and who may write them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from component.ssh_filter.certificates import public_line
from component.ssh_filter.node import FILTER

pytestmark = pytest.mark.unit
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files must be owned by root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that only root can write, as far up as pytest made it."""
    tmp_path.chmod(0o755)
    return tmp_path


def test_example_holds_the_defaults(f: Any) -> None:
    """The example file names every key, and says of each what is true without it."""
    text = (FILTER.parent / "ssh-filter.example.json").read_text()
    example = json.loads(text)
    f.parse_policy(text.encode())
    assert set(example) == set(f.Policy.DEFAULTS)
    for key in set(example) - {"system", "roots", "environment"}:
        assert example[key] == f.Policy.DEFAULTS[key], key


def test_every_key_is_explained(f: Any) -> None:
    """The table in README.md has a row for each key."""
    rows = [line for line in (FILTER.parent / "README.md").read_text().splitlines() if line.startswith("| `")]
    explained = {word.strip(" `") for row in rows for word in row.split("|")[1].split(",")}
    assert set(f.Policy.DEFAULTS) <= explained


def test_default_path_remains_with_a_partial_environment(f: Any) -> None:
    """A policy that names only SLURM_CONF must not leave Slurm's commands without a PATH."""
    policy = f.parse_policy(b'{"system": "c", "environment": {"SLURM_CONF": "/etc/slurm.conf"}}')
    assert policy.environment == {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SLURM_CONF": "/etc/slurm.conf"}


@pytest.mark.parametrize(
    "change",
    [
        {"system": ""},
        {"system": None},
        {"systen": "x"},
        {"caFile": "ca.pub"},
        {"minUid": "1000"},
        {"minUid": -1},
        {"minUid": True},
        {"roots": []},
        {"roots": ["home"]},
        {"roots": "/home"},
        {"operations": "none"},
        {"operations": ["fs.stat", "fs.everything"]},
        {"environment": {"A=B": "x"}},
        {"environment": {"A": 5}},
        {"environment": {"A": "x\0"}},
        {"umask": "22"},
        {"umask": 22},
        {"umask": "0088"},
        {"directives": "all"},
        {"payloadLimit": 0},
        {"commandSeconds": 1.5},
        {"idleSeconds": True},
        {"useLibcrypto": 1},
        {"allowedGroups": "staff"},
        {"revocationFile": "krl"},
        {"protectedNames": [5]},
        {"syslogSocket": ""},
    ],
)
def test_wrong_policies_are_refused(f: Any, change: dict[str, Any]) -> None:
    """A slip in a security policy must be noticed, not guessed around."""
    with pytest.raises(f.Misconfigured):
        f.parse_policy(json.dumps({"system": "cluster", **change}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"{}"])
def test_broken_policies_are_refused(f: Any, data: bytes) -> None:
    """Not JSON, no object, or without a system."""
    with pytest.raises(f.Misconfigured):
        f.parse_policy(data)


def test_ca_file(f: Any) -> None:
    """Several keys of several kinds, comments and blank lines."""
    keys = [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ]
    text = "# the CA\n\n" + "".join(public_line(key) for key in keys)
    assert len(f.parse_ca_keys(text.encode())) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "ssh-ed25519\n",
        "ssh-ed25519 !!!\n",
        "ssh-ed25519 AAAA\n",
        "cert-authority ssh-ed25519 AAAA\n",
    ],
)
def test_broken_ca_files(f: Any, text: str) -> None:
    """A line that is no key stops everything: half a CA file trusts the wrong half."""
    with pytest.raises(f.Misconfigured):
        f.parse_ca_keys(text.encode())


@pytest.mark.parametrize("text", ["5", "serial: x", "serial: 1-x", "id:", "key: ssh-ed25519 AAAA", "serial 5"])
def test_broken_revocation_lists(f: Any, text: str) -> None:
    """A line that is not understood must not pass as revoking nothing."""
    with pytest.raises(f.Misconfigured):
        f.Revoked(text.encode())


@needs_root
def test_files_of_root_are_trusted(f: Any, folder: Path) -> None:
    """The normal case, with a link of root's on the way."""
    (folder / "policy").write_text("x")
    (folder / "link").symlink_to(folder / "policy")
    f.require_root_owned(str(folder / "policy"))
    f.require_root_owned(str(folder / "link"))


@needs_root
@pytest.mark.parametrize("mode", [0o664, 0o646, 0o777])
def test_files_that_others_can_write_are_not_trusted(f: Any, folder: Path, mode: int) -> None:
    """By group or by all."""
    (folder / "policy").write_text("x")
    (folder / "policy").chmod(mode)
    with pytest.raises(f.Misconfigured):
        f.require_root_owned(str(folder / "policy"))


@needs_root
def test_files_of_others_are_not_trusted(f: Any, folder: Path) -> None:
    """The owner can always change the mode."""
    (folder / "policy").write_text("x")
    os.chown(folder / "policy", 65534, 0)
    with pytest.raises(f.Misconfigured):
        f.require_root_owned(str(folder / "policy"))


@needs_root
@pytest.mark.parametrize("where", ["parent", "target"])
def test_folders_that_others_can_write_are_not_trusted(f: Any, folder: Path, where: str) -> None:
    """Who can write a folder on the way can put another file in its place; behind a link too."""
    (folder / "open" / "in").mkdir(parents=True)
    (folder / "open" / "in" / "policy").write_text("x")
    (folder / "link").symlink_to(folder / "open" / "in" / "policy")
    path = str(folder / "open" / "in" / "policy" if where == "parent" else folder / "link")
    f.require_root_owned(path)
    (folder / "open").chmod(0o777)
    with pytest.raises(f.Misconfigured):
        f.require_root_owned(path)


@needs_root
def test_link_in_a_folder_of_others_is_not_trusted(f: Any, folder: Path) -> None:
    """The link's own folder counts, not only where it leads."""
    (folder / "policy").write_text("x")
    (folder / "open").mkdir()
    (folder / "open" / "link").symlink_to(folder / "policy")
    os.chown(folder / "open", 65534, 0)
    with pytest.raises(f.Misconfigured):
        f.require_root_owned(str(folder / "open" / "link"))


@needs_root
def test_file_is_read_again_when_it_changes(f: Any, folder: Path) -> None:
    """Changed in place or replaced: the next look sees it; broken ones are refused until mended."""
    path = folder / "file"
    path.write_bytes(b"1")
    file = f.TrustedFile(str(path), lambda data: int(data))
    assert file.value() == 1
    (folder / "new").write_bytes(b"2")
    (folder / "new").rename(path)
    assert file.value() == 2
    path.chmod(0o666)
    for _ in range(2):
        with pytest.raises(f.Misconfigured):
            file.value()
    path.chmod(0o644)
    assert file.value() == 2
    path.unlink()
    with pytest.raises(f.Misconfigured):
        file.value()
