"""`ssh-filter --check`: says of each thing that can be wrong with a node what it is and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from component.plain_node.door import FILTER_PATH
from component.plain_node.machine import Machine

pytestmark = pytest.mark.component

POLICY = "/etc/goldcrest/ssh-filter.json"
CA = "/etc/goldcrest/ca.pub"
SSHD = "/etc/ssh/sshd_goldcrest_config"
PAM = "/etc/pam.d/sshd-goldcrest"


def check(node: Machine, *options: str) -> tuple[int, list[str]]:
    """Exit status, and the lines."""
    done = node.run(FILTER_PATH, "--check", *options, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def wrong(node: Machine, *options: str) -> str:
    """What is to be mended on a node that is not well; each finding is one line with what to do."""
    status, lines = check(node, *options)
    found = [line for line in lines if line.startswith("WRONG")]
    assert status == 1
    assert found, lines
    assert all(" -> " in line for line in found), found
    assert re.fullmatch(rf"{len(found)} to mend, \d+ to look at", lines[-1])
    return "\n".join(found)


def test_a_good_node(node: Machine) -> None:
    """Status 0, nothing wrong; what cannot be known here (clock, systemd) is to be looked at; each line has its word."""
    status, lines = check(node)
    assert (status, [line for line in lines if line.startswith("WRONG")]) == (0, [])
    assert {line.split(":")[0] for line in lines if line.startswith("WARN")} == {
        "WARN  clock",
        "WARN  file",
        "WARN  systemd",
    }
    for what in ("Python", "signatures: by libcrypto", "policy: system cluster", "CA file: 1 key", "folder /scratch",
                 "sbatch: /usr/bin/sbatch, slurm-wlm", "syslog", "sshd", "port", "site's sshd", "PAM", "start"):  # fmt: skip
        assert any(line.startswith("ok    " + what) for line in lines), (what, lines)
    (line,) = [line for line in lines if line.startswith("ok    start")]
    assert re.search(r": \d+ ms until the hello", line)


def test_the_answer_for_machines(node: Machine) -> None:
    """The same findings as JSON, with the same status."""
    done = node.run(FILTER_PATH, "--check", "--json")
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    assert {tuple(sorted(finding)) for finding in findings} == {("detail", "level", "todo", "what")}
    assert {finding["level"] for finding in findings} == {"ok", "warn"}
    with node.changed(CA, ""):
        done = node.run(FILTER_PATH, "--check", "--json", check=False)
    assert (done.returncode, "wrong" in {finding["level"] for finding in json.loads(done.stdout)}) == (1, True)


# What is done to a file, and what is said of it. Those of one line are tried together.
WRONG_LINES: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "options of sshd": (SSHD, [
        ("ExposeAuthInfo yes", "ExposeAuthInfo no", "exposeauthinfo is `no` -> set it to `yes`"),
        ("DisableForwarding yes", "DisableForwarding no", "disableforwarding is `no`"),
        ("UsePAM yes", "UsePAM no", "usepam is `no`"),
        ("PermitTTY no", "PermitTTY yes", "permittty is `yes`"),
        ("AuthorizedKeysFile none", "AuthorizedKeysFile .ssh/authorized_keys", "authorizedkeysfile is"),
        ("PasswordAuthentication no", "PasswordAuthentication yes", "passwordauthentication is `yes`"),
        ("PermitRootLogin no", "PermitRootLogin yes", "permitrootlogin is `yes`"),
        ("PermitUserRC no", "PermitUserRC yes", "permituserrc is `yes`"),
        ("PermitUserEnvironment no", "PermitUserEnvironment yes", "permituserenvironment is `yes`"),
        ("AuthenticationMethods publickey", "AuthenticationMethods any", "authenticationmethods is `any`"),
        ("ForceCommand /usr", "#ForceCommand /usr", "forcecommand is `none`"),
        ("TrustedUserCAKeys /etc/goldcrest/ca.pub", "TrustedUserCAKeys /x.pub", "trustedusercakeys is /x.pub"),
        ("PubkeyAcceptedKeyTypes ", "PubkeyAcceptedKeyTypes ssh-ed25519,", "takes bare keys (ssh-ed25519)"),
        ("PrintMotd no", "AcceptEnv LD_*", "acceptenv is set (LD_*)"),
        ("PrintLastLog no", "Subsystem sftp internal-sftp", "subsystem is set"),
    ]),
    "an option for one user": (SSHD, [
        ("LogLevel INFO", "LogLevel INFO\nMatch User nobody\n  PermitTTY yes", "permittty is `yes`"),
    ]),
    "an unknown option": (SSHD, [("PrintMotd no", "Nonsense yes", "Nonsense")]),
    "a policy without a system": (POLICY, [('"cluster"', '""', "system must be")]),
    "an unknown key": (POLICY, [('"system"', '"systen"', "unknown key systen")]),
    "values of the policy": (POLICY, [
        ('"/scratch"', '"/nowhere"', "folder /nowhere: No such file or directory -> mount it"),
        ("/etc/slurm/slurm.conf", "/nowhere/slurm.conf", "SLURM_CONF names /nowhere/slurm.conf"),
        ('"/usr/bin:/bin"', '"/opt/slurm/bin"', "sbatch: not in the PATH of the policy file, /opt/slurm/bin"),
        ('"/dev/log"', '"/dev/nolog"', "syslog: /dev/nolog"),
    ]),
    "PAM": (PAM, [
        ("common-account", "no-such-file", "includes no-such-file, which is not there: nobody comes in"),
        ("/account-not-locked", "/gone", "names /usr/libexec/goldcrest/gone, which cannot be run"),
    ]),
    "Slurm": ("/etc/slurm/slurm.conf", [("SlurmctldHost", "SlurmctldHots", "sbatch: /usr/bin/sbatch --version: ")]),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_LINES)
def test_what_is_wrong_in_a_file(node: Machine, what: str) -> None:
    """An option, a key or a line that is not as it must be: named, with what to set."""
    name, changes = WRONG_LINES[what]
    text = node.path(name).read_text()
    for old, new, _ in changes:
        assert old in text, old
        text = text.replace(old, new)
    with node.changed(name, text):
        told = wrong(node)
    assert [words for _, _, words in changes if words not in told] == [], told


@pytest.mark.parametrize("name", [POLICY, CA, SSHD, PAM, FILTER_PATH, "/etc/goldcrest", "/usr/libexec/goldcrest"])
def test_what_others_could_change(node: Machine, name: str) -> None:
    """Each file and folder, with the command that mends it."""
    mode = node.path(name).stat().st_mode & 0o7777
    node.path(name).chmod(mode | 0o020)
    try:
        assert f"chmod go-w {name}" in wrong(node)
    finally:
        node.path(name).chmod(mode)
    node.run("chown", "nobody", name)
    try:
        assert f"chown root {name}" in wrong(node)
    finally:
        node.run("chown", "root", name)


@pytest.mark.parametrize("name", [POLICY, CA, SSHD, PAM])
def test_what_is_missing(node: Machine, name: str) -> None:
    """Said by name."""
    with node.changed(name, None):
        assert name in wrong(node)


def test_the_sites_own_sshd_trusts_the_ca(node: Machine) -> None:
    """Then Goldcrest's certificates would open port 22, past the filter: wrong, in whatever file it stands."""
    config = node.path("/etc/ssh/sshd_config").read_text()
    ca = node.path(CA).read_text()
    with (
        node.changed("/etc/ssh/site_ca.pub", f"# the site's\n{ca}"),
        node.changed("/etc/ssh/sshd_config", f"TrustedUserCAKeys /etc/ssh/site_ca.pub\n{config}"),
    ):
        assert "trusts Goldcrest's CA (/etc/ssh/site_ca.pub)" in wrong(node)


def test_nothing_listens(node: Machine) -> None:
    """The first thing that is forgotten."""
    node.stop_sshd()
    try:
        assert "systemctl enable --now sshd-goldcrest" in wrong(node)
    finally:
        node.start_sshd()


def test_a_clock_that_is_behind(node: Machine) -> None:
    """Without a daemon to ask: a file of the future says it."""
    with node.changed("/etc/goldcrest/note", ""):
        node.run("touch", "-d", "tomorrow", "/etc/goldcrest/note")
        assert re.search(r"clock: \d+ s behind the newest file here", wrong(node))


def test_slow_for_want_of_the_compiled_form(node: Machine) -> None:
    """After an update of Python, or of the source alone: it works, and each start takes longer."""
    source = "/usr/libexec/goldcrest/goldcrest_ssh_filter.py"
    with ExitStack() as stack:
        stack.enter_context(node.changed(source, node.path(source).read_text() + "\n"))
        status, lines = check(node)
        assert (status, [line for line in lines if "the compiled form is not of this source" in line] != []) == (
            0,
            True,
        )


@pytest.mark.parametrize(
    ("shell", "text", "words"),
    [
        ("/bin/bash", "exit 3", "the shell ends with status 3 before ssh-filter starts"),
        ("/bin/bash", "exec cat", "before ssh-filter starts"),
        ("/bin/bash", "set -e; false", "before ssh-filter starts"),
        ("/bin/bash", "read answer", "read 1 bytes of what is meant for the filter"),
        ("/bin/bash", "head -c 70000 /dev/zero", "print 70000 bytes; 65536 are the most"),
        ("/usr/sbin/nologin", "", "/usr/sbin/nologin ends every login"),
        ("/bin/no-such-shell", "", "/bin/no-such-shell cannot be run"),
    ],
    ids=lambda value: re.sub(r"[^A-Za-z]+", "-", value)[:24],
)
def test_accounts_that_do_not_work(
    node: Machine, account: Callable[..., str], shell: str, text: str, words: str
) -> None:
    """The login shell is started as sshd does it, so what it does to a channel is seen here."""
    user = account(shell=shell, files={".bashrc": text + "\n"})
    assert words in wrong(node, "--user", user)


def test_accounts_that_never_come_to_an_end(node: Machine, account: Callable[..., str]) -> None:
    """A start-up file that waits is given up, as the client gives it up; here after 3 s instead of 12."""
    user = account(files={".bashrc": "sleep 60\n"})
    program = "/usr/libexec/goldcrest/goldcrest_node_check.py"
    text = node.path(program).read_text()
    with node.changed(program, text.replace("HELLO_SECONDS = 10 ", "HELLO_SECONDS = 1 ")):
        assert "had not come to an end after 3 s" in wrong(node, "--user", user)


def test_accounts_that_are_slow_or_noisy(node: Machine, account: Callable[..., str]) -> None:
    """They work, and are to be looked at."""
    user = account(files={".bashrc": "echo hello; sleep 1.2\n"})
    status, lines = check(node, "--user", user)
    told = [line for line in lines if line.startswith("WARN  start-up files")]
    assert (status, len(told)) == (0, 2)
    assert "they print 6 bytes, which are skipped" in told[0]


def test_accounts_that_pam_keeps_out(node: Machine, account: Callable[..., str]) -> None:
    """PAM itself is asked: expired, locked, and unknown ones."""
    user = account()
    assert check(node, "--user", user)[0] == 0
    node.run("usermod", "--expiredate", "1", user)
    assert f"account: PAM lets {user} not in: " in wrong(node, "--user", user)
    node.run("usermod", "--expiredate", "", user)
    node.run("sh", "-c", f"echo '{user}:secret' | chpasswd && usermod --lock {user}")
    assert f"account: PAM lets {user} not in" in wrong(node, "--user", user)
    assert "there-is-none is unknown on this node" in wrong(node, "--user", "there-is-none")


def test_accounts_that_the_policy_keeps_out(node: Machine, account: Callable[..., str]) -> None:
    """minUid and allowedGroups, before a user asks why."""
    user = account()
    policy = json.loads(node.path(POLICY).read_text())
    with node.changed(POLICY, json.dumps({**policy, "minUid": 50000, "allowedGroups": ["daemon"]})):
        told = wrong(node, "--user", user)
    assert "is below minUid 50000" in told
    assert f"usermod -aG GROUP {user}" in told


def test_names_cannot_speak_to_the_terminal(node: Machine) -> None:
    """A finding is one line, whatever stands in a file."""
    policy = json.loads(node.path(POLICY).read_text())
    with node.changed(POLICY, json.dumps({**policy, "environment": {"PATH": "/x\x1b[2J\ny"}})):
        assert "/x?[2J?y" in wrong(node)
