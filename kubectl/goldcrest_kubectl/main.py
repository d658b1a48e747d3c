"""``kubectl hpc``: what kubectl itself cannot do with gjobs. kubectl finds it as ``kubectl-hpc`` on the PATH."""

from __future__ import annotations

import argparse
import base64
import os
import sys
from pathlib import Path
from typing import Any, Final

from goldcrest.wellknown import API_VERSION, Kind, Phase
from goldcrest_kubectl.cluster import Cluster
from goldcrest_kubectl.failure import Failure
from goldcrest_kubectl.output import copy_output, gateway_for, task_id, to_standard_output
from goldcrest_kubectl.tables import listing, page

_INLINE_LIMIT: Final = 64 * 1024  # bytes, models.job.INLINE_SCRIPT_LIMIT: importing it would take half a second
_OF_KUBECTL: Final = ("context", "kubeconfig", "cluster", "user", "as", "request-timeout")


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = _parser().parse_args(arguments)
    given = [f"--{name}={value}" for name in _OF_KUBECTL if (value := getattr(options, name.replace("-", "_")))]
    try:
        options.command(Cluster(given, namespace=options.namespace), options)
    except Failure as failure:
        sys.stderr.write(f"kubectl hpc: {failure}\n")
        return 1
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return 0


def _ls(cluster: Cluster, options: argparse.Namespace) -> None:
    jobs = cluster.jobs(everywhere=options.all_namespaces, selector=options.selector)
    phases = {phase.lower() for phase in options.phase or []}
    wanted = [
        job
        for job in jobs
        if (not options.system or job["spec"]["system"] == options.system)
        and (not phases or _phase(job).value.lower() in phases)
        and not (options.active and _phase(job).finished)
    ]
    if not wanted:
        sys.stderr.write("No gjobs found.\n")
        return
    wanted.sort(key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]))
    sys.stdout.write(listing(wanted, with_namespace=options.all_namespaces))


def _why(cluster: Cluster, options: argparse.Namespace) -> None:
    sys.stdout.write(page(cluster.job(options.name)))


def _cancel(cluster: Cluster, options: argparse.Namespace) -> None:
    for name in options.names:
        job = cluster.job(name)
        phase = _phase(job)
        if phase.finished:
            sys.stdout.write(f"gjob/{name} has ended already ({phase.value})\n")
            continue
        if not job["spec"].get("cancel"):
            cluster.patch(name, {"metadata": {"uid": job["metadata"]["uid"]}, "spec": {"cancel": True}})
        sys.stdout.write(f"gjob/{name} is being cancelled\n")
    for name in options.names if options.wait else []:
        cluster.wait(name, condition="Finished", seconds=options.timeout)
        sys.stdout.write(f"gjob/{name} has ended ({_phase(cluster.job(name)).value})\n")


def _logs(cluster: Cluster, options: argparse.Namespace) -> None:
    job = cluster.job(options.name)
    gateway = gateway_for(
        cluster,
        job,
        url=options.gateway or os.environ.get("GOLDCREST_GATEWAY"),
        ca_file=options.ca_file or os.environ.get("GOLDCREST_CA_FILE"),
        token_file=options.token_file or os.environ.get("GOLDCREST_TOKEN_FILE"),
        service_account=options.service_account or os.environ.get("GOLDCREST_SERVICE_ACCOUNT"),
        audience=options.audience or os.environ.get("GOLDCREST_AUDIENCE") or "goldcrest",
    )
    copy_output(
        gateway,
        task_id(job),
        stream="stderr" if options.stderr else "stdout",
        offset=options.offset,
        follow=options.follow,
        write=to_standard_output,
    )


def _submit(cluster: Cluster, options: argparse.Namespace) -> None:
    try:
        content = sys.stdin.buffer.read() if options.script == "-" else Path(options.script).read_bytes()
    except OSError as error:
        raise Failure(f"the script cannot be read: {error}") from error
    if not content or len(content) > _INLINE_LIMIT:
        raise Failure(
            f"the script has {len(content)} bytes; 1 to {_INLINE_LIMIT} are allowed here: put a larger one onto the system and name its "
            "path and digest in spec.script of a gjob"
        )
    meta: dict[str, Any] = {"name": options.name} if options.name else {"generateName": "job-"}
    spec = {"system": options.system, "runAs": options.run_as, "script": _script(content)}
    made = cluster.create({"apiVersion": API_VERSION, "kind": Kind.JOB.value, "metadata": meta, "spec": spec})
    sys.stdout.write(f"gjob/{made['metadata']['name']} created\n")


def _script(content: bytes) -> dict[str, str]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
    return {"base64": base64.b64encode(content).decode()} if "\0" in text else {"inline": text}


def _phase(job: dict[str, Any]) -> Phase:
    return Phase((job.get("status") or {}).get("phase") or Phase.PENDING)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    of_kubectl = shared.add_argument_group("as kubectl takes them")
    of_kubectl.add_argument("-n", "--namespace", help="namespace (default: of the kubeconfig's context)")
    for name in _OF_KUBECTL:
        of_kubectl.add_argument(f"--{name}", help=argparse.SUPPRESS if name in ("cluster", "user") else None)
    parser = argparse.ArgumentParser(
        prog="kubectl hpc", description="Batch jobs on HPC systems: what kubectl itself cannot do with gjobs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def command(name: str, function: Any, about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=f"{about}.", parents=[shared])
        made.set_defaults(command=function)
        return made

    ls = command("ls", _ls, "list jobs, oldest first, with why each is where it is")
    ls.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces that you may read")
    ls.add_argument("-l", "--selector", help="only those with these labels, as in kubectl get -l")
    ls.add_argument("--system", help="only those of this System")
    phases = [phase.value.lower() for phase in Phase]
    ls.add_argument(
        "--phase",
        action="append",
        type=str.lower,
        choices=phases,
        metavar="PHASE",
        help=f"only those in this phase: {', '.join(phases)}; may be given several times",
    )
    ls.add_argument("--active", action="store_true", help="only those that have not ended")

    why = command("why", _why, "say why a job is where it is")
    why.add_argument("name", metavar="NAME", help="name of the gjob")

    logs = command("logs", _logs, "print what a job wrote to standard output")
    logs.add_argument("name", metavar="NAME", help="name of the gjob")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended")
    logs.add_argument("--stderr", action="store_true", help="standard error in its place")
    logs.add_argument("--offset", type=_bytes, default=0, metavar="BYTES", help="leave out so many bytes")
    reached = logs.add_argument_group("how the gateway is reached (or by variables of the environment)")
    reached.add_argument(
        "--gateway",
        metavar="URL",
        help="GOLDCREST_GATEWAY (default: the System's annotation hpc.goldcrest.dev/gateway)",
    )
    reached.add_argument(
        "--ca-file", metavar="FILE", help="GOLDCREST_CA_FILE: certificates that it is verified against"
    )
    reached.add_argument(
        "--token-file", metavar="FILE", help="GOLDCREST_TOKEN_FILE: an access token of your identity provider"
    )
    reached.add_argument(
        "--service-account",
        metavar="[NAMESPACE/]NAME",
        help="GOLDCREST_SERVICE_ACCOUNT: have a token of this service account made (you need the right to create its token)",
    )
    reached.add_argument("--audience", help="GOLDCREST_AUDIENCE: of that token (default: goldcrest)")

    cancel = command("cancel", _cancel, "cancel jobs; their gjobs stay, with what became of them")
    cancel.add_argument("names", nargs="+", metavar="NAME", help="names of gjobs")
    cancel.add_argument("--wait", action="store_true", help="return when they have ended")
    cancel.add_argument(
        "--timeout", type=_seconds, default=300, metavar="SECONDS", help="for --wait, each (default: 300)"
    )

    submit = command("submit", _submit, "make a gjob of a batch script")
    submit.add_argument("script", metavar="FILE", help="the script, - for standard input")
    submit.add_argument("--system", required=True, help="name of the System (kubectl get gsys)")
    submit.add_argument("--run-as", required=True, metavar="USER", help="Unix user on that system")
    submit.add_argument("--name", help="name of the gjob (default: job-…)")
    return parser


def _bytes(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes")
    return int(text)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 86_400):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds between 1 and 86400")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
