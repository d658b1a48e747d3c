"""The bed's own network namespace, with one link to the host: no bridge, no packet filter rules.

Taking the link down is how a system becomes unreachable. With docker there is an ordinary bridge network instead
(tried on podman's, not on docker's).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from goldcrest_bed import engine
from goldcrest_bed.command import output, succeeds
from goldcrest_bed.component import Component
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError


class Network(Component):
    """Namespace and veth pair."""

    name = "network"

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        table: dict[str, Any] = bed.config["network"]
        self._table = table
        self.namespace: str = table["name"]
        self.namespace_file = Path("/run/netns") / self.namespace
        self._host_link = f"{table['link']}-host"
        self._node_link = f"{table['link']}-node"

    def prepare(self) -> None:
        engine.ensure(self._bed.engine, self._bed.paths, self._bed.report)

    @property
    def _mine(self) -> Path:
        """Says that the namespace is this bed's: another bed may run with the same names from another state folder."""
        return self._bed.paths.run / "network.mine"

    def start(self) -> None:
        if not self._bed.own_namespace:
            self._start_bridge()
        elif self.state() != "running":
            with self._bed.report.step(self.name, f"namespace {self.namespace}, link {self._host_link}"):
                self._start_namespace()

    def _start_namespace(self) -> None:
        if os.geteuid() != 0:
            raise BedError("a network namespace needs root; use docker or run the bed as root")
        if self._namespace_alive() and not self._mine.exists():
            raise BedError(
                f"the network namespace {self.namespace} is another bed's: give other names and addresses in an overlay, "
                f"or remove it with `ip netns del {self.namespace}`"
            )
        self._mine.touch()
        if not self._namespace_alive():
            self.namespace_file.unlink(missing_ok=True)  # an empty file that a reboot left behind
            output(["ip", "netns", "add", self.namespace])
        if not self._links_exist():
            succeeds(["ip", "link", "del", self._host_link])
            peer = ["peer", "name", self._node_link, "netns", self.namespace]
            output(["ip", "link", "add", self._host_link, "type", "veth", *peer])
        prefix = self._table["prefix"]
        inside = ["ip", "-n", self.namespace]
        output(["ip", "addr", "replace", f"{self._table['host_address']}/{prefix}", "dev", self._host_link])
        output([*inside, "addr", "replace", f"{self._table['node_address']}/{prefix}", "dev", self._node_link])
        output([*inside, "link", "set", "lo", "up"])
        self.set_link(up=True)

    def set_link(self, *, up: bool) -> None:
        """Connect or cut the node. The host's end stays up: what else listens on its address goes on."""
        output(["ip", "link", "set", self._host_link, "up"])
        output(["ip", "-n", self.namespace, "link", "set", self._node_link, "up" if up else "down"])

    def _namespace_alive(self) -> bool:
        return succeeds(["ip", "-n", self.namespace, "link", "show", "lo"])

    def _links_exist(self) -> bool:
        return succeeds(["ip", "link", "show", self._host_link]) and succeeds(
            ["ip", "-n", self.namespace, "link", "show", self._node_link]
        )

    def _start_bridge(self) -> None:
        if self._bed.engine.succeeds("network", "inspect", self.namespace):
            return
        subnet = ["--subnet", f"{self._table['host_address']}/{self._table['prefix']}"]
        self._bed.engine.output("network", "create", *subnet, "--gateway", self._table["host_address"], self.namespace)

    def stop(self) -> None:
        if not self._bed.own_namespace:
            self._bed.engine.succeeds("network", "rm", self.namespace)
            return
        if not self._mine.exists():
            return
        succeeds(["ip", "link", "del", self._host_link])
        succeeds(["ip", "netns", "del", self.namespace])
        self._mine.unlink(missing_ok=True)

    def clean(self) -> None:
        """`ip netns` mounts its folder onto itself; undone where no other namespace needs it."""
        folder = self.namespace_file.parent
        if folder.is_dir() and not any(folder.iterdir()) and succeeds(["mountpoint", "-q", str(folder)]):
            succeeds(["umount", str(folder)])

    def state(self) -> str:
        if not self._bed.own_namespace:
            return "running" if self._bed.engine.succeeds("network", "inspect", self.namespace) else "stopped"
        if not self._mine.exists() or not self._namespace_alive() or not self._links_exist():
            return "stopped"
        for command, wanted in (
            (["ip", "-j", "addr", "show", self._host_link], self._table["host_address"]),
            (["ip", "-j", "-n", self.namespace, "addr", "show", self._node_link], self._table["node_address"]),
        ):
            (link,) = json.loads(output(command))
            if "UP" not in link["flags"] or "LOWER_UP" not in link["flags"]:
                return "link down"
            if wanted not in [address["local"] for address in link["addr_info"]]:
                return "address missing"
        return "running"
