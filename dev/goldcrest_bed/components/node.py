"""The Slurm cluster and its login host: one container."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldcrest_bed import engine, image, slurmconf
from goldcrest_bed.command import logged
from goldcrest_bed.component import Component
from goldcrest_bed.components.network import Network
from goldcrest_bed.context import Bed
from goldcrest_bed.engine import CGROUP_PARENT, remove_podman_traces
from goldcrest_bed.errors import BedError
from goldcrest_bed.kubeconfig import write_private
from goldcrest_bed.paths import REPOSITORY
from goldcrest_bed.quota import QuotaFolders

FILTER = REPOSITORY / "ssh-filter"
FILTER_PATH = "/usr/libexec/goldcrest/ssh-filter"
FILTER_MODULE = "/usr/libexec/goldcrest/goldcrest_ssh_filter.py"  # which that one starts
LABEL = "goldcrest.bed.digest"
OWNER = "goldcrest.bed.state"
SITE_PORT, FILTER_PORT = 22, 2222


class Node(Component):
    """Makes, starts and configures the container; what runs inside is up to its ``bedctl``."""

    name = "node"
    needs = ("network",)

    def __init__(self, bed: Bed, network: Network) -> None:
        self._bed = bed
        self._network = network
        self.container: str = bed.config["container"]["name"]
        self._system: dict[str, Any] = bed.config["system"]
        self._clusters: dict[str, Any] = self._system.get("clusters", {})
        self._image = ""
        quotas = {
            name: user["scratch_quota"] for name, user in self._system["users"].items() if "scratch_quota" in user
        }
        self._quotas = QuotaFolders(bed.paths, quotas if bed.own_namespace else {})

    # ---- life ----

    def prepare(self) -> None:
        engine.ensure(self._bed.engine, self._bed.paths, self._bed.report)
        base, release = self._bed.versions.image["base"], self._system["release"]
        self._image = image.ensure(self._bed.engine, release, base, self._bed.paths, self._bed.report)

    def start(self) -> None:
        self._write_files()
        runtime = self._bed.engine
        state = runtime.container_state(self.container)
        if state and not self._is_mine():
            raise BedError(
                f"the container {self.container} is another bed's: give another container.name in an overlay, "
                f"or remove it with `{' '.join(runtime.command)} rm -f {self.container}`"
            )
        if state and self._must_be_made_anew(state):
            runtime.remove(self.container)
            state = ""
        self._quotas.make(self._bed.report)
        if state != "running":
            verb = "starting the container again" if state else "starting the container"
            with self._bed.report.step(self.name, verb):
                if not state:
                    runtime.output("create", *self._options(), "--label", f"{LABEL}={self._label()}", self._image)
                runtime.output("start", self.container)
        log = self._bed.paths.logs / "node.log"
        with self._bed.report.step(self.name, "Slurm, sshd and the filter", log=log):
            logged(runtime.exec_argv(self.container, ["bedctl", "up"]), log)

    def _must_be_made_anew(self, state: str) -> bool:
        if self._bed.engine.container_label(self.container, LABEL) != self._label():
            self._bed.report.line(self.name, "image or network changed: making the container anew")
            return True
        if state not in ("running", "exited", "created", "stopped"):
            self._bed.report.line(self.name, f"the container is {state}: making it anew")
            return True
        if state == "running" and self._bed.own_namespace and not self._in_namespace():
            self._bed.report.line(
                self.name, "the network namespace is another one by now: starting the container again"
            )
            return not self._restarted()
        return False

    def _restarted(self) -> bool:
        """Whether the container could be stopped and started; not where the processes that watch over it were killed."""
        try:
            self._bed.engine.output("stop", "-t", "10", self.container)
            self._bed.engine.output("start", self.container)
        except BedError:
            self._bed.report.line(self.name, "the container does not start any more: making it anew")
            return False
        return True

    def _in_namespace(self) -> bool:
        try:
            return Path(f"/proc/{self.pid()}/ns/net").samefile(self._network.namespace_file)
        except OSError:
            return False

    def pid(self) -> int:
        """Of the container's first process, whose namespaces are its own."""
        return int(self._bed.engine.output("container", "inspect", "-f", "{{.State.Pid}}", self.container))

    def _label(self) -> str:
        return hashlib.sha256(repr((self._image, self._options())).encode()).hexdigest()

    def _options(self) -> list[str]:
        """What the container is made with."""
        ports = self._bed.config["ports"]
        if self._bed.own_namespace:
            network = ["--network", f"ns:{self._network.namespace_file}", "--cgroup-parent", CGROUP_PARENT]
            network += ["--log-driver", "k8s-file"]
            # With a given namespace podman does not write the container's own name into /etc/hosts.
            network += ["--add-host", f"{self._system['name']}:127.0.0.1"]
        else:
            network = ["--network", self._network.namespace]
            network += ["-p", f"127.0.0.1:{ports['site_ssh']}:{SITE_PORT}"]
            network += ["-p", f"127.0.0.1:{ports['filter_ssh']}:{FILTER_PORT}"]
        return [
            *("--name", self.container, "--hostname", self._system["name"]),
            *("--label", f"{OWNER}={self._bed.paths.state}"),
            *network,
            *("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768"),
            *("--tmpfs", "/run:rw,mode=0755", "--stop-timeout", "15"),
            *("--volume", f"{self._bed.paths.node}:/bed:ro"),
            *self._small_folders(),
        ]

    def _small_folders(self) -> Iterator[str]:
        """Work folders that are full soon, or have a quota."""
        for name, user in self._system["users"].items():
            if "scratch_quota" in user and self._bed.own_namespace:
                yield "--volume"
                yield f"{self._quotas.folder(name)}:{self._system['scratch']}/{name}"
            if "scratch_size" in user:
                yield "--tmpfs"
                yield f"{self._system['scratch']}/{name}:rw,mode=0700,size={user['scratch_size']}"

    def _is_mine(self) -> bool:
        """Whether this bed made the container; another one may run from another state folder."""
        return self._bed.engine.container_label(self.container, OWNER) == str(self._bed.paths.state)

    def stop(self) -> None:
        if self._is_mine():
            self._bed.engine.remove(self.container)

    def clean(self) -> None:
        self._quotas.remove()
        if self._bed.own_namespace and not self._bed.engine.has_containers():
            remove_podman_traces(self._bed.paths)
        shutil.rmtree(self._bed.paths.node, ignore_errors=True)

    def state(self) -> str:
        state = self._bed.engine.container_state(self.container)
        if state and not self._is_mine():
            return "stopped"
        if state != "running":
            return f"container {state}" if state else "stopped"
        try:
            self._bed.engine.output("exec", self.container, "bedctl", "status")
        except BedError:
            return "running, but some daemons are stopped (bed.py exec --node bedctl status)"
        return "running"

    def logs(self) -> list[Path]:
        return [self._bed.paths.logs / "node.log"]

    # ---- what goes inside ----

    def _write_files(self) -> None:
        """Everything for ``bedctl up``: file contents below ``files`` and their places in ``node.json``."""
        folder = self._bed.paths.node / "files"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        entries = []
        for position, (path, content, details) in enumerate(self._files()):
            (folder / str(position)).write_bytes(content)
            entries.append({"path": path, "source": str(position), **details})
        description = {
            "nodes": list(self._system["nodes"]),
            "scratch": self._system["scratch"],
            "clusters": {
                name: {"folder": slurmconf.controller_folder(self._system, name), "nodes": list(cluster["nodes"])}
                for name, cluster in self._clusters.items()
            },
            "users": {
                name: {key: user[key] for key in ("uid", "home", "expired") if key in user}
                for name, user in self._system["users"].items()
            },
            "accounting": slurmconf.accounting(self._system),
            "files": entries,
        }
        write_private(self._bed.paths.node / "node.json", json.dumps(description, indent=1))

    def _files(self) -> list[tuple[str, bytes, dict[str, Any]]]:
        slurmds = [f"slurmd-{name}" for name in self._system["nodes"]]
        host_key = self._bed.pki.ssh_key("ssh_host_ed25519_key", self._system["name"])
        both = ["sshd", "sshd-goldcrest"]
        files = [
            _file("/etc/slurm/slurm.conf", slurmconf.slurm_conf(self._system), restarts=["slurmctld", *slurmds]),
            _file(
                "/etc/slurm/slurmdbd.conf",
                slurmconf.slurmdbd_conf(self._system),
                mode="0600",
                owner="slurm",
                restarts=["slurmdbd"],
            ),
            _file("/etc/ssh/ssh_host_ed25519_key", host_key.read_bytes(), mode="0600", restarts=both),
            _file("/etc/ssh/ssh_host_ed25519_key.pub", _public(host_key), restarts=both),
            _file("/etc/goldcrest/ca.pub", _public(self.ssh_ca_key), restarts=["sshd-goldcrest"]),
            *self._filter_files(),
        ]
        for name, cluster in self._clusters.items():
            daemons = [f"slurmctld-{name}", *(f"slurmd-{node}" for node in cluster["nodes"])]
            files.append(_file(f"/etc/slurm/{name}.conf", slurmconf.other_conf(self._system, name), restarts=daemons))
        for name, user in self._system["users"].items():
            if not user.get("home", True):
                continue
            keys = f"/home/{name}/.ssh/authorized_keys"
            files.append(_file(keys, _public(self._user_key(name)), mode="0600", owner=name))
        for path, entry in self._system.get("files", {}).items():
            content = Path(entry["source"]).read_bytes() if "source" in entry else entry["content"]
            details = {key: entry[key] for key in ("mode", "owner", "restarts") if key in entry}
            files.append(_file(path, content, **details))
        return files

    def _filter_files(self) -> list[tuple[str, bytes, dict[str, Any]]]:
        restarts = ["sshd-goldcrest"]
        files = [
            _file(FILTER_MODULE, (FILTER / "goldcrest-ssh-filter").read_bytes(), compiled=True),
            _file(FILTER_PATH, (FILTER / "launcher").read_bytes(), mode="0755"),
            _file("/etc/ssh/sshd_goldcrest_config", (FILTER / "sshd_goldcrest_config").read_bytes(), restarts=restarts),
            _file("/etc/goldcrest/ssh-filter.json", json.dumps(self._policy(), indent=1)),
        ]
        pam = FILTER / "pam.d-sshd-goldcrest"
        if pam.exists():
            files.append(_file("/etc/pam.d/sshd-goldcrest", pam.read_bytes(), restarts=restarts))
            program = "account-not-locked"  # which that service runs
            files.append(_file(f"/usr/libexec/goldcrest/{program}", (FILTER / program).read_bytes(), mode="0755"))
        return files

    def _policy(self) -> dict[str, Any]:
        """The filter's example with what is this site's own laid over it."""
        content: dict[str, Any] = json.loads((FILTER / "ssh-filter.example.json").read_text())
        content.update(self._system["filter"])
        return content

    # ---- facts ----

    @property
    def ssh_ca_key(self) -> Path:
        """Private key of the authority that signs user certificates."""
        return self._bed.pki.ssh_key("ssh_ca", "goldcrest-bed user CA")

    def _user_key(self, user: str) -> Path:
        return self._bed.pki.ssh_key(f"ssh_user_{user}", f"{user}, for the site's own sshd")

    def facts(self) -> dict[str, Any]:
        ports = self._bed.config["ports"]
        own = self._bed.own_namespace
        host_key = _public(self._bed.pki.ssh_key("ssh_host_ed25519_key", self._system["name"])).decode()
        return {
            "container": {
                "engine": self._bed.engine.name,
                "command": list(self._bed.engine.command),
                "name": self.container,
            },
            "system": {
                "name": self._system["name"],
                "host": self._bed.config["network"]["node_address"] if own else "127.0.0.1",
                "port": FILTER_PORT if own else ports["filter_ssh"],
                "site_port": SITE_PORT if own else ports["site_ssh"],
                "host_keys": [" ".join(host_key.split()[:2])],
                "filter_path": FILTER_PATH,
                "scratch": self._system["scratch"],
                "partitions": list(self._system["partitions"]),
                "nodes": list(self._system["nodes"]),
                "accounts": list(self._system["accounts"]),
                "qos": list(self._system["qos"]),
                "clusters": list(self._clusters),
            },
            "ssh_ca_key": str(self.ssh_ca_key),
            "users": {
                name: {
                    "uid": user["uid"],
                    "accounts": user.get("accounts", []),
                    "qos": user.get("qos", []),
                    "home": f"/home/{name}",
                    "scratch": f"{self._system['scratch']}/{name}",
                    "site_key": str(self._user_key(name)),
                }
                for name, user in self._system["users"].items()
            },
        }


def _file(
    path: str,
    content: str | bytes,
    *,
    mode: str = "0644",
    owner: str = "root",
    restarts: list[str] | None = None,
    compiled: bool = False,
) -> tuple[str, bytes, dict[str, Any]]:
    data = content.encode() if isinstance(content, str) else content
    return path, data, {"mode": mode, "owner": owner, "restarts": restarts or [], "compile": compiled}


def _public(key: Path) -> bytes:
    return key.with_name(f"{key.name}.pub").read_bytes()
