"""Where the bed keeps things. Nothing is written into the source tree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEV = Path(__file__).resolve().parent.parent
REPOSITORY = DEV.parent
PROFILES = DEV / "profiles"


def current_profile() -> str:
    """Which bed is meant: a file of ``dev/profiles`` without its suffix, or "" for the ordinary one."""
    return os.environ.get("GOLDCREST_BED_PROFILE", "")


def choose_profile(profile: str) -> None:
    """For this process and those that it starts."""
    os.environ["GOLDCREST_BED_PROFILE"] = profile


@dataclass(frozen=True)
class Paths:
    """Folders of one bed.

    ``cache`` survives everything and may be deleted at any time while no bed runs; ``state`` belongs to one bed.
    In ``state``: ``data`` goes away with ``down``; ``keys`` and ``logs`` stay until ``down --purge``.
    """

    cache: Path
    state: Path

    @classmethod
    def from_environment(cls, profile: str | None = None) -> Paths:
        """Folders by the XDG base directory specification.

        :param profile: whose state; by ``GOLDCREST_BED_PROFILE`` if None; "" is the ordinary bed.
        """
        profile = current_profile() if profile is None else profile
        home = Path.home()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
        state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
        return cls(cache=cache / "goldcrest", state=state / f"goldcrest-bed{'-' if profile else ''}{profile}")

    @property
    def builds(self) -> Path:
        """Programs built from source, one folder per version."""
        return self.cache / "builds"

    @property
    def data(self) -> Path:
        """Databases and sockets of running components."""
        return self.state / "data"

    @property
    def keys(self) -> Path:
        """Private keys, certificates, generated secrets."""
        return self.state / "keys"

    @property
    def logs(self) -> Path:
        """One log file per component and per build."""
        return self.state / "logs"

    @property
    def run(self) -> Path:
        """Process records."""
        return self.state / "run"

    @property
    def tokens(self) -> Path:
        """Service account tokens, kept fresh while the bed runs."""
        return self.state / "tokens"

    @property
    def kubeconfigs(self) -> Path:
        """Kubeconfigs of persons and service accounts."""
        return self.state / "kubeconfigs"

    @property
    def facts(self) -> Path:
        """What tests read: addresses, files, names."""
        return self.state / "facts.json"

    @property
    def node(self) -> Path:
        """Files that the login node takes over at every ``up``; mounted there read-only."""
        return self.state / "node"

    def create(self) -> None:
        """Make the folders; state is for its owner alone, as it holds keys."""
        self.cache.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.state.chmod(0o700)
        for folder in (self.builds, self.data, self.keys, self.logs, self.run, self.tokens, self.kubeconfigs):
            folder.mkdir(parents=True, exist_ok=True)
