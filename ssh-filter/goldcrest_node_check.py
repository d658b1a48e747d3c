"""`ssh-filter --check`: looks at a login node as Goldcrest needs it, and says what is wrong and what to do.

Run by an administrator as root, never by sshd. It changes nothing; it starts sshd (only to print its configuration),
Slurm's commands (only for their versions) and, for `--user`, that user's login shell as sshd would start it.
Python 3.6 or newer, standard library only, like the filter that it imports.
"""

import argparse
import ctypes
import grp
import importlib.util
import json
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import sys
import time

import goldcrest_ssh_filter as ssh_filter

FILTER = "/usr/libexec/goldcrest/ssh-filter"
SSHD_CONFIG = "/etc/ssh/sshd_goldcrest_config"
PAM_SERVICE = "sshd-goldcrest"
INSTALL = "run install.sh again"

HELLO_SECONDS = 10  # docs/protocol.md: how long a client waits for the hello
NOISE_LIMIT = 64 * 1024  # bytes before it
SLOW_HELLO = 1.0  # seconds: worth a word
PROGRAM_SECONDS = 15  # a Slurm command whose controller is down hangs for longer
CLOCK_TOLERANCE = 20  # seconds: certificates are valid from 30 s before to 60 s after they were made

# What `sshd -T` must say, whatever Match blocks there are. Names that only some versions know are looked at if there.
SSHD_NEEDS = {
    "authorizedkeysfile": ("none",),
    "authorizedprincipalsfile": ("none",),
    "authorizedkeyscommand": ("none",),
    "authorizedprincipalscommand": ("none",),
    "authenticationmethods": ("publickey",),
    "pubkeyauthentication": ("yes",),
    "passwordauthentication": ("no",),
    "kbdinteractiveauthentication": ("no",),
    "challengeresponseauthentication": ("no",),
    "hostbasedauthentication": ("no",),
    "gssapiauthentication": ("no",),
    "kerberosauthentication": ("no",),
    "permitrootlogin": ("no",),
    "exposeauthinfo": ("yes",),
    "disableforwarding": ("yes",),
    "permittty": ("no",),
    "permittunnel": ("no",),
    "permituserrc": ("no",),
    "permituserenvironment": ("no",),
    "usepam": ("yes",),
    "chrootdirectory": ("none",),
}
SSHD_MUST_NOT_HAVE = ("acceptenv", "subsystem")
SHARED_FILE_SYSTEMS = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "panfs", "wekafs", "orangefs",
                       "glusterfs", "fuse.glusterfs", "fuse.sshfs", "9p", "afs", "pvfs2")  # fmt: skip


class Report:
    """Findings in their order. ``wrong`` must be mended before the node works; ``warn`` should be looked at."""

    def __init__(self):
        self.findings = []

    def ok(self, what, detail=""):
        self._add("ok", what, detail, "")

    def warn(self, what, detail, todo):
        self._add("warn", what, detail, todo)

    def wrong(self, what, detail, todo):
        self._add("wrong", what, detail, todo)

    def _add(self, level, what, detail, todo):
        self.findings.append({"level": level, "what": what, "detail": str(detail), "todo": todo})

    def count(self, level):
        return sum(finding["level"] == level for finding in self.findings)

    def lines(self):
        for finding in self.findings:
            # One line each, whatever a program or a file name put into it.
            text = "%-5s %s" % (finding["level"].upper() if finding["level"] != "ok" else "ok", finding["what"])
            if finding["detail"]:
                text += ": " + finding["detail"]
            if finding["todo"]:
                text += " -> " + finding["todo"]
            yield "".join(character if character.isprintable() else "?" for character in text)


def run(arguments, seconds=PROGRAM_SECONDS, environment=None):
    """Exit status (None: it could not be started or took too long), standard output, standard error."""
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds,
            env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, "", "no answer within %d s" % seconds
    except OSError as error:
        return None, "", error.strerror or str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def first_line(text):
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def mount_of(path):
    """Type of the file system that a path is on, and the options it is mounted with; by the longest mount point."""
    real = os.path.realpath(path)
    best, found = "", ("", "")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, tail = line.rstrip("\n").partition(" - ")
            fields = fields.split(" ")
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
            if len(point) >= len(best) and (real == point or real.startswith(point.rstrip("/") + "/")):
                best, found = point, (tail.split(" ")[0], fields[5])
    return found


# ---- the filter and its files ----------------------------------------------------------------------------------------


def check_python(report):
    version = "%d.%d.%d" % sys.version_info[:3]
    if sys.version_info < (3, 6):
        report.wrong("Python", version, "ssh-filter needs 3.6 or newer at /usr/bin/python3")
    else:
        report.ok("Python", version)
    try:
        ssh_filter.Libcrypto()
        report.ok("signatures", "by libcrypto")
    except (ImportError, OSError):
        report.warn(
            "signatures", "in Python only: right, but several times slower", "install OpenSSL's libcrypto (1.1.1 or 3)"
        )


def check_files(report, filter_path):
    """Files of root in folders of root, on a local disk (T4)."""
    source = ssh_filter.__file__
    compiled = getattr(ssh_filter.__spec__, "cached", None)
    paths = [filter_path, source]
    if compiled and os.path.exists(compiled):
        paths.append(compiled)
    for path in paths:
        check_trusted(report, "filter", path)
    if not compiled or not os.path.exists(compiled):
        report.warn("filter", "no compiled form for this Python: each start takes twice as long", INSTALL)
    elif not compiled_fits(compiled, source):
        report.warn("filter", "the compiled form is not of this source: each start takes twice as long", INSTALL)


def compiled_fits(compiled, source):
    """Whether Python takes the compiled form: the source's digest is in it, or its time and size (PEP 552)."""
    with open(compiled, "rb") as file:
        head = file.read(16)
    found = os.stat(source)
    words = [int.from_bytes(head[start : start + 4], "little") for start in (4, 8, 12)]
    time_and_size = [int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF]
    if sys.version_info < (3, 7):
        return words[:2] == time_and_size
    if words[0] == 0:
        return words[1:] == time_and_size
    if words[0] != 3:  # a digest that nobody compares
        return False
    with open(source, "rb") as file:
        return importlib.util.source_hash(file.read()) == head[8:]


def check_trusted(report, what, path):
    try:
        ssh_filter.require_root_owned(path)
    except ssh_filter.Misconfigured as error:
        report.wrong(what, *split_todo(error))
        return False
    kind = mount_of(path)[0]
    if kind in SHARED_FILE_SYSTEMS:
        report.wrong(
            what, "%s is on %s" % (path, kind), "put it on a local disk: who serves that file system could change it"
        )
        return False
    report.ok(what, path)
    return True


def split_todo(error):
    """The filter's own messages end with the command that mends, after a colon."""
    text = str(error)
    detail, found, todo = text.rpartition(": ch")
    return (detail, "ch" + todo) if found else (text, "mend it; docs/node.md says what belongs there")


def check_policy(report, policy_path):
    """The policy, or None."""
    if not check_trusted(report, "policy file", policy_path):
        return None
    try:
        with open(policy_path, "rb") as file:
            policy = ssh_filter.parse_policy(file.read())
    except (OSError, ssh_filter.Misconfigured) as error:
        report.wrong(
            "policy file", "%s: %s" % (policy_path, error), "correct that key; ssh-filter/README.md explains each"
        )
        return None
    report.ok("policy", "system %s, users from id %d" % (policy.system, policy.min_uid))
    missing = [name for name in ssh_filter.STARTUP_FILES if name not in policy.protected_names]
    if missing:
        report.warn(
            "policy", "protectedNames leaves out %s: a command could change what shells or sshd obey" % ", ".join(missing),
            "take the key out of the policy file, unless it is meant so",
        )  # fmt: skip
    for group in policy.allowed_groups:
        try:
            grp.getgrnam(group)
        except KeyError:
            report.wrong("policy", "allowedGroups: there is no group %s" % group, "correct the name, or mend NSS")
    return policy


def check_authority(report, policy):
    """The keys of the CA; blobs."""
    if not check_trusted(report, "CA file", policy.ca_file):
        return set()
    try:
        with open(policy.ca_file, "rb") as file:
            keys = ssh_filter.parse_ca_keys(file.read())
    except (OSError, ssh_filter.Misconfigured) as error:
        report.wrong("CA file", error, "put the public key of Goldcrest's user CA there: install.sh --ca FILE")
        return set()
    report.ok("CA file", "%d keys" % len(keys) if len(keys) != 1 else "1 key")
    if policy.revocation_file and check_trusted(report, "revocation file", policy.revocation_file):
        try:
            with open(policy.revocation_file, "rb") as file:
                ssh_filter.Revoked(file.read())
        except (OSError, ssh_filter.Misconfigured) as error:
            report.wrong("revocation file", error, "correct that line: no certificate is accepted until then")
    return set(keys)


def check_roots(report, policy):
    for root in policy.roots:
        try:
            if not stat.S_ISDIR(os.stat(root).st_mode):
                report.wrong("folder %s" % root, "is no folder", "correct `roots` in the policy file")
                continue
        except OSError as error:
            report.wrong("folder %s" % root, error.strerror, "mount it, or take it out of `roots` in the policy file")
            continue
        kind, options = mount_of(root)
        shared = kind in SHARED_FILE_SYSTEMS
        if "ro" in options.split(","):
            report.warn("folder %s" % root, "mounted read-only", "mount it for writing if jobs are to write there")
        else:
            report.ok("folder %s" % root, "%s, %s" % (kind, "shared" if shared else "local to this node"))


def check_file(report, policy):
    """The one program beside Slurm's that an operation needs (fs.type)."""
    try:
        report.ok("file", ssh_filter.find_program("file", policy.environment["PATH"]))
    except OSError:
        report.warn(
            "file", "not in the PATH of the policy file, %s" % policy.environment["PATH"],
            "install it, or users are not told what kind of file something is (GET /utilities/file)",
        )  # fmt: skip


def check_slurm(report, policy):
    environment = {"HOME": "/", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh"}
    environment.update(policy.environment)
    configuration = policy.environment.get("SLURM_CONF")
    if configuration and not os.access(configuration, os.R_OK):
        report.wrong(
            "Slurm",
            "SLURM_CONF names %s, which is not there" % configuration,
            "correct `environment` in the policy file",
        )
    answers = not configuration or os.access(configuration, os.R_OK)  # else each would look for its controller for long
    for program in ("sbatch", "squeue", "sacct", "scontrol", "scancel"):
        try:
            path = ssh_filter.find_program(program, policy.environment["PATH"])
        except OSError:
            report.wrong(
                program, "not in the PATH of the policy file, %s" % policy.environment["PATH"],
                "install Slurm's commands, or add their folder to PATH in `environment`",
            )  # fmt: skip
            continue
        if not answers:
            continue
        status, out, err = run([path, "--version"], environment=environment)
        answers = status is not None
        if status == 0:
            report.ok(program, "%s, %s" % (path, first_line(out)))
        else:
            report.wrong(
                program, "%s --version: %s" % (path, first_line(err) or "status %s" % status),
                "set SLURM_CONF in `environment` of the policy file, and see that it works at the prompt",
            )  # fmt: skip


# ---- sshd ------------------------------------------------------------------------------------------------------------


def find_sshd():
    return shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")


def effective(sshd, configuration, user):
    """What `sshd -T` prints for a connection of this user: name → list of values. And what it complained of."""
    arguments = [sshd, "-T", "-C", "user=%s,host=localhost,addr=127.0.0.1" % user]
    if configuration:
        arguments += ["-f", configuration]
    status, out, err = run(arguments)
    values = {}
    if status == 0:
        for line in out.splitlines():
            name, _, value = line.partition(" ")
            values.setdefault(name.lower(), []).append(value)
    return values, first_line(err)


def check_sshd(report, policy, authorities, configuration, filter_path, user):
    """The dedicated sshd's options in effect; its ports."""
    sshd = find_sshd()
    if sshd is None:
        report.wrong("sshd", "not found", "install OpenSSH's server, 7.8 or newer")
        return {}
    if not check_trusted(report, "sshd", configuration):
        return {}
    values, complaint = effective(sshd, configuration, user)
    if not values:
        report.wrong("sshd", "%s: %s" % (configuration, complaint), "correct that line, or %s" % INSTALL)
        return {}
    wrong = report.count("wrong")
    for name, wanted in sorted(SSHD_NEEDS.items()):
        for value in values.get(name, []):
            if value.lower() not in wanted:
                report.wrong("sshd", "%s is `%s`" % (name, value), "set it to `%s` in %s" % (wanted[0], configuration))
    for name in SSHD_MUST_NOT_HAVE:
        if values.get(name):
            report.wrong("sshd", "%s is set (%s)" % (name, values[name][0]), "take it out of %s" % configuration)
    command = " ".join(values.get("forcecommand", ["none"]))
    if command.split(" ")[0] != filter_path:
        report.wrong("sshd", "forcecommand is `%s`" % command, "set it to %s in %s" % (filter_path, configuration))
    if policy and values.get("trustedusercakeys", ["none"]) != [policy.ca_file]:
        report.wrong(
            "sshd", "trustedusercakeys is %s, and the filter's caFile %s" % (values.get("trustedusercakeys", ["none"])[0], policy.ca_file),
            "make both the same file",
        )  # fmt: skip
    for name in ("pubkeyacceptedalgorithms", "pubkeyacceptedkeytypes"):
        for algorithm in ",".join(values.get(name, [])).split(","):
            if algorithm and "-cert-v0" not in algorithm:
                report.wrong(
                    "sshd", "%s takes bare keys (%s)" % (name, algorithm), "leave only …-cert-v01@openssh.com there"
                )
                break
    for name in ("allowusers", "denyusers", "allowgroups", "denygroups"):
        if values.get(name):
            report.warn(
                "sshd", "%s is set: %s" % (name, " ".join(values[name])), "see that it names whom Goldcrest serves"
            )
    if values.get("maxstartups") == ["10:30:100"]:
        report.warn(
            "sshd", "maxstartups is the default, which drops connections from 10 on", "set MaxStartups 200:30:500"
        )
    if values.get("persourcepenalties", ["no"]) != ["no"] and values.get("persourcepenaltyexemptlist", ["none"]) == ["none"]:
        report.warn(
            "sshd", "keeps an address out after a few failed logins, and all of Goldcrest's users come from one",
            "install.sh --gateway ADDRESS, for each address of Goldcrest",
        )  # fmt: skip
    if report.count("wrong") == wrong:
        report.ok("sshd", "%s, options in effect" % configuration)
    check_listening(report, values, configuration)
    check_site_sshd(report, sshd, authorities, user)
    return values


def check_listening(report, values, configuration):
    for where in values.get("listenaddress", []):
        address, _, port = where.rpartition(":")
        address = address.strip("[]")
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
        try:
            with socket.create_connection((address, int(port)), timeout=3) as connection:
                connection.settimeout(5)
                banner = connection.recv(256)
        except (OSError, ValueError) as error:
            if address == "::1":
                continue  # a node without IPv6
            report.wrong(
                "port %s" % port,
                error,
                "systemctl enable --now sshd-goldcrest (or start sshd with -f %s)" % configuration,
            )
            continue
        if banner.startswith(b"SSH-2.0-"):
            report.ok("port %s" % port, "%s answers on %s" % (first_line(banner.decode("ascii", "replace")), address))
        else:
            report.wrong(
                "port %s" % port, "something else listens there", "choose another port: install.sh --port NUMBER"
            )


def check_site_sshd(report, sshd, authorities, user):
    """The site's own sshd must not trust the CA: its users would pass by their second factor, and by the filter."""
    values, complaint = effective(sshd, None, user)
    if not values:
        report.warn("site's sshd", complaint or "has no configuration", "see by hand that it does not trust the CA")
        return
    for path in values.get("trustedusercakeys", ["none"]):
        if path == "none":
            continue
        try:
            with open(path, "rb") as file:
                trusted = {field for line in file for field in line.split()}
        except OSError as error:
            report.warn("site's sshd", "%s: %s" % (path, error.strerror), "see by hand that it does not trust the CA")
            continue
        mine = [blob for blob in authorities if ssh_filter.b2a_base64(blob, newline=False) in trusted]
        if mine:
            report.wrong(
                "site's sshd",
                "trusts Goldcrest's CA (%s)" % path,
                "take the key out there: it counts for the dedicated sshd only",
            )
            return
    report.ok("site's sshd", "does not trust the CA")


# ---- what is around --------------------------------------------------------------------------------------------------


def pam_service(values, configuration):
    """The PAM service that counts: an option since OpenSSH 9.8, before it the name of sshd's program."""
    if values.get("pamservicename"):
        return values["pamservicename"][0]
    for process in os.listdir("/proc"):
        if not process.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % process, "rb") as file:
                words = file.read().replace(b"\0", b" ").decode("utf-8", "replace").split()
        except OSError:
            continue
        if configuration in words and "-D" in words:
            programs = [word for word in words if word.startswith("/") and word != configuration]
            if programs:
                return os.path.basename(programs[0])
    return PAM_SERVICE


def check_pam(report, values, configuration):
    """Whether expired accounts and access rules count."""
    service = pam_service(values, configuration)
    path = "/etc/pam.d/%s" % service
    if service != PAM_SERVICE:
        report.warn(
            "PAM", "sshd runs as `%s`, so %s counts" % (service, path), "start it as sshd-goldcrest, as the unit does"
        )
    try:
        with open(path) as file:
            text = file.read()
    except OSError as error:
        report.wrong("PAM", "%s: %s" % (path, error.strerror), INSTALL)
        return service
    if not check_trusted(report, "PAM", path):
        return service
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if service == PAM_SERVICE and not any(line[0] == "account" for line in lines):
        report.wrong("PAM", "%s has no account stage" % path, INSTALL)
    for line in lines:
        for word in line:
            if word.startswith("/") and not os.access(word, os.X_OK):
                report.wrong("PAM", "%s names %s, which cannot be run" % (path, word), INSTALL)
        if len(line) > 2 and line[1] in ("include", "substack") and not os.path.exists("/etc/pam.d/%s" % line[2]):
            report.wrong("PAM", "%s includes %s, which is not there: nobody comes in" % (path, line[2]), INSTALL)
    return service


def check_nologin(report):
    for path in ("/etc/nologin", "/run/nologin", "/var/run/nologin"):
        if os.path.exists(path) and os.path.realpath(path) == path:
            report.wrong(
                "nologin", "%s is there: nobody comes in" % path, "remove it when the node is in service again"
            )


def check_clock(report):
    now = time.time()
    status, out, _ = run(["chronyc", "-c", "tracking"])
    if status == 0 and len(out.split(",")) > 13:
        fields = out.strip().split(",")
        offset = abs(float(fields[4]))
        if fields[13].startswith("Not"):
            report.wrong(
                "clock", "chrony is not synchronised", "see `chronyc sources`: certificates are valid for a minute"
            )
        elif offset > CLOCK_TOLERANCE:
            report.wrong("clock", "%.0f s off, says chrony" % offset, "chronyc makestep")
        else:
            report.ok("clock", "%.4f s off, says chrony" % offset)
        return
    if os.path.isdir("/run/systemd/system"):
        status, out, _ = run(["timedatectl", "show", "-p", "NTPSynchronized", "--value"])
        if status == 0 and out.strip() == "yes":
            report.ok("clock", "synchronised, says systemd")
            return
    # Nobody to ask. Files that were written in the future mean a clock that was set back.
    newest = 0.0
    for folder in ("/etc", "/etc/goldcrest", "/usr/libexec/goldcrest", "/var/log", "/run"):
        try:
            newest = max([newest] + [entry.stat().st_mtime for entry in os.scandir(folder)])
        except OSError:
            continue
    if newest > now + CLOCK_TOLERANCE:
        report.wrong("clock", "%.0f s behind the newest file here" % (newest - now), "set it, and run chronyd")
    else:
        report.warn(
            "clock",
            "nothing here says that it is synchronised",
            "run chronyd or another NTP client: certificates are valid for a minute",
        )


def check_syslog(report, policy):
    path = policy.syslog_socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.settimeout(2)
            probe.connect(path)
    except OSError as error:
        report.wrong(
            "syslog",
            "%s: %s" % (path, error.strerror or error),
            "start rsyslog or journald, or set `syslogSocket`: the filter's lines are lost",
        )
        return
    report.ok("syslog", path)


def check_selinux(report, filter_path, values):
    try:
        with open("/sys/fs/selinux/enforce") as file:
            enforcing = file.read().strip() == "1"
    except OSError:
        report.ok("SELinux", "not in use")
        return
    say = report.wrong if enforcing else report.warn
    try:
        context = os.getxattr(filter_path, "security.selinux").rstrip(b"\0").decode("ascii", "replace")
    except OSError as error:
        context = error.strerror or "none"
    if ":bin_t:" not in context:
        say("SELinux", "%s is labelled %s, not bin_t" % (filter_path, context), "restorecon -R /usr/libexec/goldcrest")
    else:
        report.ok("SELinux", "%s; the filter is bin_t" % ("enforcing" if enforcing else "permissive"))
    ports = {where.rpartition(":")[2] for where in values.get("listenaddress", [])}
    status, out, _ = run(["semanage", "port", "-l"])
    if status == 0 and ports:
        line = next((line for line in out.splitlines() if line.startswith("ssh_port_t ")), "")
        allowed = [(int(low), int(high or low)) for low, high in re.findall("([0-9]+)(?:-([0-9]+))?", line)]
        for port in sorted(port for port in ports if not any(low <= int(port) <= high for low, high in allowed)):
            say("SELinux", "port %s is not ssh_port_t" % port, "semanage port -a -t ssh_port_t -p tcp %s" % port)


def check_systemd(report):
    if not os.path.isdir("/run/systemd/system"):
        report.warn(
            "systemd",
            "does not run here: no limits of memory and processes for all sessions together",
            "limit sshd's cgroup by other means",
        )
        return
    unit = "sshd-goldcrest.service"
    for verb, todo in (
        ("is-enabled", "systemctl enable %s" % unit),
        ("is-active", "systemctl restart %s, and see `journalctl -u %s`" % (unit, unit)),
    ):
        status, out, err = run(["systemctl", verb, unit])
        if status != 0:
            report.wrong("systemd", "%s: %s" % (unit, first_line(out) or first_line(err)), todo)
            return
    status, out, _ = run(["systemctl", "show", unit, "-p", "Slice", "--value"])
    if first_line(out) != "goldcrest.slice":
        report.warn("systemd", "%s is in %s" % (unit, first_line(out)), "set Slice=goldcrest.slice, or limit that one")
    else:
        _, out, _ = run(["systemctl", "show", "goldcrest.slice", "-p", "MemoryMax", "-p", "TasksMax"])
        report.ok("systemd", "%s runs in goldcrest.slice, %s" % (unit, ", ".join(out.split())))


# ---- the start of a channel ------------------------------------------------------------------------------------------


class Start:
    """One start of the filter without a certificate: all of what comes before the hello, and then its refusal."""

    def __init__(self, arguments, account, environment):
        """``account``: of pwd, or None: as the caller is."""
        ours, theirs = socket.socketpair()  # as sshd does it; bash reads start-up files only then
        self.seconds = None
        filler = b"\n" * 2048  # whatever reads it as commands or as an answer: nothing
        ours.sendall(filler)
        ours.shutdown(socket.SHUT_WR)

        def become():
            if account is not None:
                os.initgroups(account.pw_name, account.pw_gid)
                os.setgid(account.pw_gid)
                os.setuid(account.pw_uid)
            try:
                os.chdir(account.pw_dir if account is not None else "/")
            except OSError:
                os.chdir("/")

        began = time.monotonic()
        with subprocess.Popen(
            arguments, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd="/",
            preexec_fn=become, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                self.out, self.err = process.communicate(timeout=HELLO_SECONDS + 2)
                self.seconds = time.monotonic() - began
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                self.out, self.err = process.communicate()
            self.status = process.returncode
        theirs.setblocking(False)
        left = b""
        try:
            while True:
                piece = theirs.recv(65536)
                if not piece:
                    break
                left += piece
        except BlockingIOError:
            pass
        self.eaten = len(filler) - len(left)
        ours.close()
        theirs.close()

    @property
    def reached(self):
        """Whether the filter itself was reached, and came as far as to ask who opened the connection."""
        return self.status == ssh_filter.EXIT_REFUSED and b"goldcrest-ssh-filter: malformed: SSH_USER_AUTH" in self.err


def milliseconds(seconds):
    return "%.0f ms" % (seconds * 1000)


def check_start(report, filter_path):
    """Time to hello: until all is read and ready, and only the client's certificate is missing."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/"}
    starts = [Start([filter_path], None, environment) for _ in range(5)]
    if not all(start.reached for start in starts):
        report.wrong(
            "start",
            first_line(starts[0].err.decode("utf-8", "replace")) or "status %s" % starts[0].status,
            "mend what is said there",
        )
        return
    report.ok("start", "%s until the hello (median of 5)" % milliseconds(sorted(start.seconds for start in starts)[2]))


def check_user(report, policy, name, filter_path, service):
    """One account: may it come in, and does the filter start behind its login shell?"""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        report.wrong(
            "user", "%s is unknown on this node" % name, "make the account, or mend NSS (getent passwd %s)" % name
        )
        return
    groups = [group.gr_name for group in grp.getgrall() if name in group.gr_mem]
    try:
        groups.insert(0, grp.getgrgid(account.pw_gid).gr_name)
    except KeyError:
        groups.insert(0, str(account.pw_gid))
    report.ok("user", "%s, id %d, groups %s" % (name, account.pw_uid, ", ".join(groups)))
    if policy and account.pw_uid < policy.min_uid:
        report.wrong(
            "user",
            "the id %d is below minUid %d" % (account.pw_uid, policy.min_uid),
            "lower `minUid` in the policy file if it is meant so",
        )
    if policy and policy.allowed_groups and not set(policy.allowed_groups) & set(groups):
        report.wrong(
            "user",
            "is in none of the groups %s" % ", ".join(policy.allowed_groups),
            "usermod -aG GROUP %s, or change `allowedGroups`" % name,
        )

    answer = pam_account(service, name)
    if answer is None:
        report.warn("account", "PAM cannot be asked from here", "see `chage -l %s`" % name)
    elif answer:
        report.wrong(
            "account",
            "PAM lets %s not in: %s" % (name, answer),
            "see `chage -l %s`, `passwd -S %s`, /etc/security/access.conf, /etc/nologin" % (name, name),
        )
    else:
        report.ok("account", "PAM lets %s in" % name)

    if not os.path.isdir(account.pw_dir):
        report.wrong(
            "home", "%s is not there" % account.pw_dir, "make it, or mount it: programs and start-up files expect it"
        )
    else:
        found = os.stat(account.pw_dir)
        if found.st_uid != account.pw_uid:
            report.warn(
                "home",
                "%s belongs to the id %d" % (account.pw_dir, found.st_uid),
                "chown %s %s" % (name, account.pw_dir),
            )
        else:
            report.ok("home", account.pw_dir)
    shell = account.pw_shell or "/bin/sh"
    if not os.access(shell, os.X_OK):
        report.wrong("shell", "%s cannot be run" % shell, "chsh -s /bin/bash %s" % name)
        return
    if os.path.basename(shell) in ("nologin", "false"):
        report.wrong(
            "shell",
            "%s ends every login" % shell,
            "chsh -s %s %s makes ssh-filter their only shell; or give them another" % (filter_path, name),
        )
        return
    if os.geteuid() != 0:
        report.warn("shell", "only root can try it", "run --check as root")
        return
    check_shell(report, account, shell, filter_path)


def check_shell(report, account, shell, filter_path):
    environment = {  # as sshd sets it up
        "USER": account.pw_name, "LOGNAME": account.pw_name, "HOME": account.pw_dir, "SHELL": shell,
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/games", "SSH_CLIENT": "127.0.0.1 50000 2222",
        "SSH_CONNECTION": "127.0.0.1 50000 127.0.0.1 2222",
    }  # fmt: skip
    # The filter as login shell gets its own path as the command, and takes no notice of it.
    starts = [Start([shell, "-c", filter_path], account, environment)]
    start = starts[0]
    if start.seconds is not None and start.seconds < SLOW_HELLO:
        starts += [Start([shell, "-c", filter_path], account, environment) for _ in range(2)]
    what = "start-up files of %s" % account.pw_name
    said = first_line(start.err.decode("utf-8", "replace")) or first_line(start.out.decode("utf-8", "replace"))
    if start.seconds is None:
        report.wrong(
            what,
            "they had not come to an end after %d s" % (HELLO_SECONDS + 2),
            "see what they wait for: ~/.bashrc and the like must not ask or wait in shells without a terminal",
        )
        return
    if start.eaten:
        report.wrong(
            what,
            "they read %d bytes of what is meant for the filter" % start.eaten,
            "no `read`, `ssh` or other program may read standard input there: add </dev/null, or leave unless $- has i",
        )
    if not start.reached:
        report.wrong(
            what,
            "the shell ends with status %s before ssh-filter starts%s" % (start.status, ": " + said if said else ""),
            "no `exec`, `exit` or failing command may end a shell without a terminal: leave them out unless $- has i",
        )
        return
    if len(start.out) > NOISE_LIMIT:
        report.wrong(
            what,
            "they print %d bytes; %d are the most" % (len(start.out), NOISE_LIMIT),
            "print only in shells with a terminal (`[[ $- == *i* ]]`)",
        )
    elif start.out:
        report.warn(
            what,
            "they print %d bytes, which are skipped" % len(start.out),
            "print only in shells with a terminal (`[[ $- == *i* ]]`)",
        )
    seconds = sorted(start.seconds for start in starts)[len(starts) // 2]
    if seconds > SLOW_HELLO:
        report.warn(
            what,
            "%s until the hello" % milliseconds(seconds),
            "see what takes so long there: each channel waits for it",
        )
    else:
        report.ok("login shell", "%s until the hello" % milliseconds(seconds))


def pam_account(service, name):
    """What PAM's account stage says of this user: "" is yes; None: it could not be asked (not root, no libpam)."""
    if os.geteuid() != 0:
        return None
    try:
        libpam = ctypes.CDLL("libpam.so.0")
    except OSError:
        return None
    conversation_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)

    class Conversation(ctypes.Structure):
        _fields_ = [("function", conversation_type), ("data", ctypes.c_void_p)]

    # Whatever a module asks gets no answer (PAM_CONV_ERR): sshd has none either.
    conversation = Conversation(conversation_type(lambda *_: 19), None)
    handle = ctypes.c_void_p()
    if libpam.pam_start(service.encode(), name.encode(), ctypes.byref(conversation), ctypes.byref(handle)):
        return None
    libpam.pam_strerror.restype = ctypes.c_char_p
    libpam.pam_set_item.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    try:
        libpam.pam_set_item(handle, 3, b"ssh")  # PAM_TTY, as sshd sets it
        libpam.pam_set_item(handle, 4, b"localhost")  # PAM_RHOST
        status = libpam.pam_acct_mgmt(handle, 0x8000)  # PAM_SILENT
        return libpam.pam_strerror(handle, status).decode("utf-8", "replace") if status else ""
    finally:
        libpam.pam_end(handle, 0)


# ---- the command line ------------------------------------------------------------------------------------------------


def main(arguments):
    parser = argparse.ArgumentParser(prog="ssh-filter", description="Look at this node, and say what is to be done.")
    parser.add_argument("--check", action="store_true", required=True, help="look at this node")
    parser.add_argument(
        "--user", help="look at this account too: may it come in, does its login shell reach the filter?"
    )
    parser.add_argument("--json", action="store_true", help="print a list of {level, what, detail, todo}")
    parser.add_argument("--policy", default=ssh_filter.POLICY_PATH, help="the policy file; default %(default)s")
    parser.add_argument("--sshd-config", default=SSHD_CONFIG, help="the dedicated sshd's; default %(default)s")
    options = parser.parse_args(arguments)
    filter_path = os.path.abspath(sys.modules["__main__"].__file__)
    report = Report()
    if os.geteuid() != 0:
        report.warn("root", "some things can only be seen by root", "run it as root")
    check_python(report)
    check_files(report, filter_path)
    policy = check_policy(report, options.policy)
    authorities = set()
    if policy:
        authorities = check_authority(report, policy)
        check_roots(report, policy)
        check_slurm(report, policy)
        check_file(report, policy)
        check_syslog(report, policy)
    values = check_sshd(report, policy, authorities, options.sshd_config, filter_path, options.user or "nobody")
    service = check_pam(report, values, options.sshd_config)
    check_nologin(report)
    check_clock(report)
    check_selinux(report, filter_path, values)
    check_systemd(report)
    if policy and options.policy == ssh_filter.POLICY_PATH:
        check_start(report, filter_path)
    if options.user:
        check_user(report, policy, options.user, filter_path, service)
    wrong, warned = report.count("wrong"), report.count("warn")
    if options.json:
        print(json.dumps(report.findings, indent=1))
    else:
        for line in report.lines():
            print(line)
        print("%d to mend, %d to look at" % (wrong, warned) if wrong or warned else "all is well")
    return 1 if wrong else 0
