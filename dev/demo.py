"""The main job, through three doors, on real components: plain HTTP, the unmodified pyfirecrest, kubectl."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "core"))

from goldcrest_bed import cli
from goldcrest_bed import facts as bed_facts
from goldcrest_bed.traces import tree
from trace_view import settled

REPOSITORY = Path(__file__).resolve().parents[1]
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
SCRIPT = """#!/bin/bash
#SBATCH --job-name=demo
#SBATCH --time=00:05:00
echo "Hello, this is job $SLURM_JOB_ID of $(id -un) on $(hostname)"
sleep 1
"""
WAIT_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.parse_args()
    started = time.monotonic()
    title("1. The test bed")
    code = cli.main(["up"])
    if code != 0:
        return code
    facts = bed_facts.read()
    door = Gateway(facts)
    through_http(door)
    task_id = through_pyfirecrest(facts, door)
    through_kubectl(facts)
    show_everything(facts, door, task_id)
    say_what_next(facts)
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    return 0


class Gateway:
    """The REST door, with nothing but the standard library."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.url: str = facts["goldcrest"]["api"]["url"]
        self.system: str = facts["system"]["name"]
        self._oidc = facts["oidc"]

    def token(self) -> str:
        """A token by client credentials, for the machine client that stands for alice."""
        form = {
            "grant_type": "client_credentials",
            "client_id": "alice-client",
            "client_secret": self._oidc["clients"]["alice-client"]["secret"],
        }
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(self._oidc["token_endpoint"], data=data, timeout=10) as answer:
            return str(json.load(answer)["access_token"])

    def submit(self, script: str, traceparent: str) -> dict[str, Any]:
        """``POST /compute/jobs/upload``."""
        boundary = "demo-boundary"
        body = (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="file"; filename="demo.sh"\r\n'
            f"Content-Type: text/plain\r\n\r\n{script}\r\n--{boundary}--\r\n"
        ).encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "X-Machine-Name": self.system,
            "traceparent": traceparent,
        }
        return self.call("POST", "/compute/jobs/upload", headers=headers, body=body)

    def task(self, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = self.call("GET", f"/tasks/{task_id}")["task"]
        return task

    def view(self, path: str) -> str:
        query = urllib.parse.urlencode({"targetPath": path})
        return str(self.call("GET", f"/utilities/view?{query}", headers={"X-Machine-Name": self.system})["output"])

    def call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers or {})
        request.add_header("Authorization", f"Bearer {self.token()}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                result: dict[str, Any] = json.load(answer)
                return result
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from error


def through_http(door: Gateway) -> None:
    title("2. Through REST, with plain HTTP (FirecREST v1)")
    traceparent = f"00-{new_hex(32)}-{new_hex(16)}-01"
    began = time.monotonic()
    answer = door.submit(SCRIPT, traceparent)
    print(f"POST /compute/jobs/upload  →  {json.dumps(answer)}")
    task = until("the task to end", lambda: door.task(answer["task_id"]), lambda t: t["status"] in ("200", "400"))
    print(
        f"GET {answer['task_url']}  →  {task['status']} {task['description']}, {1000 * (time.monotonic() - began):.0f} ms after the submission began"
    )
    if task["status"] != "200":
        raise SystemExit(f"the job was not submitted: {task['data']}")
    show_job(door, task["data"])


def through_pyfirecrest(facts: dict[str, Any], door: Gateway) -> str:
    title("3. Through REST, with pyfirecrest from PyPI, unmodified")
    import firecrest

    auth = firecrest.ClientCredentialsAuth(
        "alice-client", facts["oidc"]["clients"]["alice-client"]["secret"], facts["oidc"]["token_endpoint"]
    )
    client = firecrest.v1.Firecrest(firecrest_url=door.url, authorization=auth)
    job = client.submit(door.system, script_str=SCRIPT, env_vars={"FROM": "pyfirecrest"})
    print(f"client.submit(…)  →  job {job['jobid']}, task {job['firecrest_taskid']}")
    show_job(door, job)
    return str(job["firecrest_taskid"])


def show_job(door: Gateway, data: dict[str, Any]) -> None:
    state = until(
        f"job {data['jobid']} to end",
        lambda: kubectl_json("get", "gjob", "-A", "--field-selector", f"status.jobId={data['jobid']}")["items"],
        lambda items: bool(items) and items[0]["status"]["phase"] in ("Succeeded", "Failed", "Cancelled"),
    )[0]["status"]
    print(
        f"job id   {data['jobid']}\nstate    {state['phase']} ({state['scheduler']['state']}, exit code {state.get('exitCode')})"
    )
    print(f"output   {data['job_file_out']}:")
    print(indented(door.view(data["job_file_out"])))


def through_kubectl(facts: dict[str, Any]) -> None:
    title("4. Through Kubernetes, with kubectl, as the Kubernetes user alice")
    namespace = facts["goldcrest"]["namespaces"]["alice"]
    alice = facts["kubernetes"]["persons"]["alice"]["kubeconfig"]
    run_kubectl("delete", "gjob", "hello", "-n", namespace, "--ignore-not-found", kubeconfig=alice, quiet=True)
    run_kubectl("apply", "-n", namespace, "-f", "examples/job.yaml", kubeconfig=alice)
    run_kubectl(
        "wait",
        "-n",
        namespace,
        "--for=condition=Complete",
        f"--timeout={WAIT_SECONDS}s",
        "gjob/hello",
        kubeconfig=alice,
    )
    status = kubectl_json("get", "gjob", "hello", "-n", namespace)["status"]
    print(
        f"job id   {status['jobId']}\nstate    {status['phase']} ({status['scheduler']['state']}, exit code {status['exitCode']})"
    )
    print(f"output   {status['files']['stdout']}:")
    print(indented(Gateway(facts).view(status["files"]["stdout"])))


def show_everything(facts: dict[str, Any], door: Gateway, task_id: str) -> None:
    title("5. What Kubernetes shows")
    run_kubectl("get", "goldcrest", "-A", "-o", "wide")
    namespace = facts["goldcrest"]["namespaces"]["alice"]
    print()
    run_kubectl("describe", "gjob", "hello", "-n", namespace)
    job = kubectl_json("get", "gjob", f"r-{task_id}", "-n", namespace)
    trace_id = job["metadata"]["annotations"]["hpc.goldcrest.dev/traceparent"].split("-")[1]
    title(f"6. One trace through all parts: {trace_id}")
    print(f"{DIM}(the pyfirecrest job {job['status']['jobId']}){PLAIN}")
    logs = Path(facts["logs"])
    for process in ("goldcrest-api", "goldcrest-operator", "goldcrest-delegation"):
        lines = [
            line for line in (logs / f"{process}.log").read_text(errors="replace").splitlines() if trace_id in line
        ]
        show_lines(process, lines)
    container = facts["container"]
    syslog = subprocess.run(
        [*container["command"], "exec", container["name"], "grep", trace_id, "/var/log/syslog"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    show_lines("ssh-filter (syslog of the login node)", syslog)
    title("   … and as spans (begin and length in ms)")
    print(tree(settled(trace_id, wanted="Job")), end="")


def show_lines(process: str, lines: list[str]) -> None:
    print(f"{BOLD}{process}{PLAIN}")
    if not lines:
        raise SystemExit(f"no line with this trace in the log of {process}")
    for line in lines[:4]:
        print(f"  {line[:300]}")
    if len(lines) > 4:
        print(f"  {DIM}… and {len(lines) - 4} more{PLAIN}")


def say_what_next(facts: dict[str, Any]) -> None:
    title("7. The bed keeps running: what to try next")
    namespace = facts["goldcrest"]["namespaces"]["alice"]
    print(f"""\
  REST             {facts["goldcrest"]["api"]["url"]}      (pages: {facts["goldcrest"]["api"]["url"]}/docs)
  a token          TOKEN=$(curl -s {facts["oidc"]["token_endpoint"]} -d grant_type=client_credentials -d client_id=alice-client \\
                     -d client_secret=$(python3 dev/bed.py env oidc.clients.alice-client.secret) \\
                     | python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])')
  your tasks       curl -s {facts["goldcrest"]["api"]["url"]}/tasks -H "Authorization: Bearer $TOKEN"
  kubectl as alice export KUBECONFIG={facts["kubernetes"]["persons"]["alice"]["kubeconfig"]}
                   kubectl get gjob -n {namespace} -w
  the login node   make bed-shell, then look around; python3 dev/bed.py shell --node
  logs             make bed-logs COMPONENT=goldcrest-operator
  stop everything  make bed-down""")


def title(text: str) -> None:
    print(f"\n{BOLD}── {text}{PLAIN}", flush=True)


def until(what: str, ask: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    """Ask until it is done, for a minute at most."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        answer = ask()
        if done(answer):
            return answer
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {WAIT_SECONDS} s for {what}; last seen: {json.dumps(answer)[:500]}")
        time.sleep(0.1)


def run_kubectl(*args: str, kubeconfig: str | None = None, quiet: bool = False) -> None:
    if not quiet:
        print(f"{DIM}$ kubectl {' '.join(args)}{PLAIN}", flush=True)
    done = subprocess.run([*_kubectl(kubeconfig), *args], cwd=REPOSITORY, check=False, capture_output=quiet)
    if done.returncode != 0:
        raise SystemExit(f"kubectl {' '.join(args)} failed with status {done.returncode}")


def kubectl_json(*args: str) -> dict[str, Any]:
    done = subprocess.run([*_kubectl(None), *args, "-o", "json"], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _kubectl(kubeconfig: str | None) -> list[str]:
    facts = bed_facts.read()
    return [facts["kubectl"], f"--kubeconfig={kubeconfig or facts['kubernetes']['admin']}"]


def indented(text: str) -> str:
    return re.sub("^", "  | ", text.rstrip("\n"), flags=re.MULTILINE)


def new_hex(digits: int) -> str:
    return Path("/dev/urandom").open("rb").read(digits // 2).hex()


if __name__ == "__main__":
    sys.exit(main())
