"""``bed.toml``, an overlay merged over it, and checks that name the faulty line's key."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import DEV, PROFILES, current_profile

Table = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """The merged description of one bed.

    ``kube`` is how Kubernetes is had (``own``, ``current``, ``kind``), ``extra`` the optional components,
    ``overlays`` the absolute paths of the files that were merged in.
    """

    table: Table
    kube: str = "own"
    extra: tuple[str, ...] = ()
    overlays: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> Any:
        return self.table[key]

    def port(self, name: str) -> int:
        """A TCP port by its name in ``[ports]``."""
        return int(self.table["ports"][name])

    def save(self, path: Path) -> None:
        """Keep it, so that ``down`` and ``status`` know what is running."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def saved(cls, path: Path) -> Config | None:
        """What :meth:`save` wrote, with keys that are newer than it from bed.toml; None if there is nothing readable."""
        try:
            raw = json.loads(path.read_text())
            return cls(
                merge(_read(DEV / "bed.toml"), raw["table"]), raw["kube"], tuple(raw["extra"]), tuple(raw["overlays"])
            )
        except (OSError, ValueError, KeyError):
            return None


def merge(base: Table, over: Table) -> Table:
    """``over`` laid over ``base``: tables are merged, ``false`` removes a table, all else replaces."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        elif value is False and isinstance(result.get(key), dict):
            del result[key]
        else:
            result[key] = value
    return result


def load(overlays: list[Path], *, kube: str = "own", extra: tuple[str, ...] = ()) -> Config:
    """The bed's own file with the profile and overlays merged over it in the order given.

    :raises BedError: a file that is missing or not TOML, or content that cannot work.
    """
    table: Table = {}
    profile = current_profile()
    own = [DEV / "bed.toml", *([PROFILES / f"{profile}.toml"] if profile else [])]
    for path in [*own, *overlays]:
        table = merge(table, _read(path))
    check(table)
    return Config(table=table, kube=kube, extra=extra, overlays=tuple(str(path.resolve()) for path in overlays))


def _read(path: Path) -> Table:
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise BedError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise BedError(f"{path} is not TOML: {error}") from error
    for place, entry in table.get("system", {}).get("files", {}).items():
        if isinstance(entry, dict) and "source" in entry:
            entry["source"] = str((path.parent / entry["source"]).resolve())
        if not place.startswith("/"):
            raise BedError(f"{path}: system.files: {place!r} is not an absolute path")
    return table


def check(table: Table) -> None:
    """Catch what would otherwise fail late and far away.

    :raises BedError: the first fault, with its key.
    """
    system = table["system"]
    for name, partition in system["partitions"].items():
        if unknown := set(partition["nodes"]) - set(system["nodes"]):
            raise BedError(f"system.partitions.{name}: unknown nodes {sorted(unknown)}")
    uids: dict[int, str] = {}
    for name, user in system["users"].items():
        if "uid" not in user:
            raise BedError(f"system.users.{name}: needs a uid")
        if (other := uids.setdefault(user["uid"], name)) != name:
            raise BedError(f"system.users.{name}: uid {user['uid']} is also {other}'s")
        if unknown := set(user.get("accounts", [])) - set(system["accounts"]):
            raise BedError(f"system.users.{name}: unknown accounts {sorted(unknown)}")
        if unknown := set(user.get("qos", [])) - set(system["qos"]):
            raise BedError(f"system.users.{name}: unknown qos {sorted(unknown)}")
    for name, client in table["oidc"]["clients"].items():
        if not any(key in client for key in ("public", "service_account", "username", "redirect_uris")):
            raise BedError(
                f"oidc.clients.{name}: needs a username (or redirect_uris, or public = true, or service_account = true)"
            )
