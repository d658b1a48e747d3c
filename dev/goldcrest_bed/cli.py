"""The command line of ``dev/bed.py``."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from goldcrest_bed import apt, config, facts, orchestrate, promtool
from goldcrest_bed.assembly import OPTIONAL, assemble
from goldcrest_bed.component import Component
from goldcrest_bed.components.node import Node
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError
from goldcrest_bed.lock import exclusive
from goldcrest_bed.paths import PROFILES, Paths, choose_profile
from goldcrest_bed.report import Report
from goldcrest_bed.versions import Versions

# Programs that the bed and the tests call on this machine: keys and certificates.
HOST_PACKAGES = ("openssh-client", "openssl")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and turn a BedError into a message and exit code 1."""
    arguments = parser().parse_args(argv)
    if arguments.profile is not None:
        choose_profile(arguments.profile)
    try:
        return int(arguments.run(arguments) or 0)
    except BedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what runs goes on running, `up` again continues", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = argparse.ArgumentParser(prog="bed.py", description="Goldcrest's test bed: every system around it, real.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser(
        "up",
        help="start everything that does not run; repair what is half-dead",
        description="Start everything that does not run, repair what is half-dead. Without --overlay, --with and --kube "
        "those of the last `up` count, until `down`.",
    )
    up.add_argument("component", nargs="*", help="only these and what they need (default: all)")
    up.add_argument("--overlay", type=Path, action="append", default=[], help="a TOML file merged over dev/bed.toml")
    up.add_argument("--with", dest="extra", action="append", default=[], choices=OPTIONAL, help="an optional component")
    up.add_argument(
        "--kube",
        choices=["own", "current", "kind"],
        help="own: etcd and kube-apiserver of the bed (default); current: the current kubeconfig; kind: a kind cluster "
        "(kind was not tried: the machine this was written on has no docker)",
    )
    up.add_argument("--forget", action="store_true", help="do not keep --overlay, --with and --kube of the last `up`")
    _add_no_wait(up)
    up.set_defaults(run=run_up)

    down = commands.add_parser("down", help="stop everything and remove its data; keys, logs and caches stay")
    down.add_argument("--purge", action="store_true", help="remove keys, secrets and logs too")
    _add_no_wait(down)
    down.set_defaults(run=run_down)

    status = commands.add_parser("status", help="what runs; exit code 1 unless all does")
    status.set_defaults(run=run_status)

    logs = commands.add_parser("logs", help="show logs")
    logs.add_argument("component", nargs="*", help="default: all")
    logs.add_argument("-f", "--follow", action="store_true", help="go on showing what is added")
    logs.add_argument("-n", "--lines", type=int, default=20, help="lines of each log (default: 20)")
    logs.set_defaults(run=run_logs)

    shell = commands.add_parser("shell", help="a shell with KUBECONFIG and the like set, or on the login node")
    shell.add_argument("--node", action="store_true", help="on the login node")
    shell.add_argument("--user", default="root", help="with --node: as this user")
    shell.set_defaults(run=run_shell)

    build = commands.add_parser("build", help="build programs that tests need beside the bed, where the cache has none")
    build.add_argument("program", nargs="+", choices=sorted([*Versions.load().go, promtool.NAME]), metavar="PROGRAM")
    build.set_defaults(run=run_build)

    env = commands.add_parser("env", help="print the facts (addresses, files, secrets of test clients) as JSON")
    env.add_argument("key", nargs="?", help="only this, e.g. oidc.token_endpoint")
    env.set_defaults(run=run_env)

    execute = commands.add_parser("exec", help="run a command with the bed's environment, or on the login node")
    execute.add_argument("--node", action="store_true", help="on the login node")
    execute.add_argument("--user", default="root", help="with --node: as this user")
    execute.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    execute.set_defaults(run=run_exec)
    profiles = sorted(path.stem for path in PROFILES.glob("*.toml"))
    for command in commands.choices.values():
        words = "another bed: a file of dev/profiles, with a state folder of its own (default: GOLDCREST_BED_PROFILE)"
        command.add_argument("--profile", choices=["", *profiles], help=words)
    return top


def _add_no_wait(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-wait", action="store_true", help="give up if another bed.py is at work")


def _bed(chosen: config.Config, paths: Paths) -> Bed:
    return Bed(config=chosen, paths=paths, versions=Versions.load(), report=Report())


def _existing(paths: Paths) -> Bed:
    """The bed as it was brought up last, else as it would be."""
    return _bed(config.Config.saved(paths.state / "config.json") or config.load([]), paths)


def run_up(arguments: argparse.Namespace) -> int:
    """``up``."""
    paths = Paths.from_environment()
    paths.create()
    with exclusive(paths, Report(), doing="bed.py up", wait=not arguments.no_wait):
        begun = time.monotonic()
        bed = _bed(_chosen(arguments, paths), paths)
        _stop_what_is_not_wanted(bed)
        bed.config.save(paths.state / "config.json")
        components = assemble(bed)
        selected = orchestrate.with_needs(components, arguments.component or components)
        if bed.config.kube == "own" or bed.engine.name == "podman":
            # First, so that a machine that lacks them says so in seconds and not after the builds.
            apt.ensure(HOST_PACKAGES, why="the bed", log=paths.logs / "apt.log", report=bed.report)
        try:
            orchestrate.up(bed, selected)
        except BedError:
            with contextlib.suppress(BedError):  # what failed is what must be told
                facts.write(paths, facts.collect(bed, components))
            raise
        facts.write(paths, facts.collect(bed, components))
        bed.report.line(
            "bed", f"up: {len(selected)} components, {time.monotonic() - begun:.1f} s (facts: {paths.facts})"
        )
    return 0


def _chosen(arguments: argparse.Namespace, paths: Paths) -> config.Config:
    """The configuration by the command line; by the last `up` where the command line says nothing."""
    said = arguments.overlay or arguments.extra or arguments.kube or arguments.forget
    before = config.Config.saved(paths.state / "config.json")
    if said or before is None:
        return config.load(arguments.overlay, kube=arguments.kube or "own", extra=tuple(sorted(set(arguments.extra))))
    if before.overlays or before.extra or before.kube != "own":
        words = [*before.overlays, *before.extra, *([] if before.kube == "own" else [f"--kube {before.kube}"])]
        Report().line("bed", f"as before with {', '.join(words)} (to drop this: --forget)")
    return config.load([Path(path) for path in before.overlays], kube=before.kube, extra=before.extra)


def _stop_what_is_not_wanted(bed: Bed) -> None:
    """Components that the last `up` had and this one has not (another --kube, no --with)."""
    before = config.Config.saved(bed.paths.state / "config.json")
    if before is None:
        return
    old = assemble(_bed(before, bed.paths))
    gone = {name: part for name, part in old.items() if name not in assemble(bed)}
    if before.kube != bed.config.kube:
        gone |= {name: part for name, part in old.items() if name in ("etcd", "kube-apiserver", "token-keeper")}
    orchestrate.down(bed, gone, leftovers=False)


def run_build(arguments: argparse.Namespace) -> int:
    """``build``: the result is in the cache, where tests look for it."""
    paths = Paths.from_environment()
    paths.create()
    bed = _existing(paths)
    for program in arguments.program:
        if program == promtool.NAME:
            promtool.fetch(paths, bed.report)
        else:
            bed.builder.build(bed.versions.go[program])
    return 0


def run_down(arguments: argparse.Namespace) -> int:
    """``down``."""
    paths = Paths.from_environment()
    paths.create()
    bed = _existing(paths)
    with exclusive(paths, bed.report, doing="bed.py down", wait=not arguments.no_wait):
        orchestrate.down(bed, assemble(bed))
        paths.facts.unlink(missing_ok=True)
        (paths.state / "config.json").unlink(missing_ok=True)
        if arguments.purge:
            shutil.rmtree(paths.state)
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """``status``."""
    paths = Paths.from_environment()
    paths.create()
    states = {name: component.state() for name, component in assemble(_existing(paths)).items()}
    width = max(map(len, states))
    for name, state in states.items():
        print(f"{name:<{width}} {state}")
    if not set(states.values()) & {"running"}:
        print("The bed is down; `make bed-up` starts it.")
    return 0 if set(states.values()) == {"running"} else 1


def run_logs(arguments: argparse.Namespace) -> int:
    """``logs``."""
    components = assemble(_existing(Paths.from_environment()))
    selected = {name: _component(components, name) for name in arguments.component} or components
    files = [str(path) for component in selected.values() for path in component.logs() if path.exists()]
    if not files:
        raise BedError("there is no log yet: `make bed-up` starts the bed")
    follow = ["-F"] if arguments.follow else []
    return subprocess.call(["tail", "-n", str(arguments.lines), *follow, "-v", *files])


def _component(components: dict[str, Component], name: str) -> Component:
    if name not in components:
        raise BedError(f"there is no component {name}; there are: {', '.join(components)}")
    return components[name]


def run_shell(arguments: argparse.Namespace) -> int:
    """``shell``."""
    arguments.command = ["bash", "-l"] if arguments.node else [os.environ.get("SHELL", "/bin/bash")]
    return run_exec(arguments, terminal=sys.stdin.isatty())


def run_exec(arguments: argparse.Namespace, *, terminal: bool = False) -> int:
    """``exec``."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise BedError("exec needs a command")
    paths = Paths.from_environment()
    known = facts.read(paths)
    if not arguments.node:
        try:
            return subprocess.call(command, env=facts.environment(known))
        except FileNotFoundError:
            raise BedError(f"{command[0]} is not installed") from None
    bed = _existing(paths)
    node = assemble(bed)["node"]
    assert isinstance(node, Node)
    argv = bed.engine.exec_argv(node.container, command, user=arguments.user, stdin=True)
    if terminal:
        argv.insert(argv.index("exec") + 1, "-t")
    return subprocess.call(argv)


def run_env(arguments: argparse.Namespace) -> int:
    """``env``."""
    print(facts.rendered(facts.read(), arguments.key))
    return 0
