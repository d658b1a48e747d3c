"""What every component of one bed is made with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from goldcrest_bed import engine
from goldcrest_bed.config import Config
from goldcrest_bed.gobuild import GoBuilder
from goldcrest_bed.paths import Paths
from goldcrest_bed.pki import Pki
from goldcrest_bed.report import Report
from goldcrest_bed.toolchain import Toolchain
from goldcrest_bed.versions import Versions


@dataclass
class Bed:
    """Configuration, folders and the things that make things. Built once, handed to all."""

    config: Config
    paths: Paths
    versions: Versions
    report: Report

    @cached_property
    def toolchain(self) -> Toolchain:
        """Go and Node."""
        return Toolchain(self.paths, self.versions, self.report)

    @cached_property
    def builder(self) -> GoBuilder:
        """Builds Go programs."""
        return GoBuilder(self.paths, self.toolchain, self.report)

    @cached_property
    def pki(self) -> Pki:
        """The bed's certificate authority, keys and secrets."""
        return Pki(self.paths.keys)

    @cached_property
    def engine(self) -> engine.Engine:
        """The container engine; the network component's ``prepare`` installs it."""
        return engine.choose(self.config["container"]["engine"], self.paths)

    @property
    def own_namespace(self) -> bool:
        """Whether the node lives in the bed's own network namespace (podman), not on a docker network."""
        return self.engine.name == "podman"
