"""install.sh on a plain login node, by docs/node.md alone, up to the first accepted command."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest

from component.plain_node.door import FILTER_PATH, SSH_FILTER, Door, install, install_by_the_page, make_account
from component.plain_node.machine import Machine
from goldcrest.commands import StatFile, WhoAmI
from goldcrest.errors import SystemUnreachable
from goldcrest_delegation.ca_key import make_ca_key
from unit.ssh_filter.conftest import load_filter

pytestmark = pytest.mark.component

INSTALLED = (
    "/usr/libexec/goldcrest/ssh-filter",
    "/usr/libexec/goldcrest/goldcrest_ssh_filter.py",
    "/usr/libexec/goldcrest/goldcrest_node_check.py",
    "/usr/libexec/goldcrest/account-not-locked",
    "/etc/ssh/sshd_goldcrest_config",
    "/etc/pam.d/sshd-goldcrest",
    "/etc/systemd/system/sshd-goldcrest.service",
    "/etc/systemd/system/goldcrest.slice",
)
OURS = ("/etc/goldcrest/ssh-filter.json", "/etc/goldcrest/ca.pub")


def listing(machine: Machine) -> dict[str, str]:
    """Every file of /etc and /usr/libexec with owner, mode and digest."""
    script = "find /etc /usr/libexec -type f -exec sha256sum {} + ; find /etc /usr/libexec -printf '%u:%g:%m:%l %p\\n'"
    lines = machine.run("sh", "-c", script).stdout.splitlines()
    return {line.split(None, 1)[1] + (" mode" if ":" in line.split()[0] else ""): line.split()[0] for line in lines}


async def test_the_page_leads_to_the_first_command(machine: Machine, make_door: Callable[..., Door]) -> None:
    """What docs/node.md has an administrator type, on a node that has nothing; then a command that delegation signed."""
    make_account(machine, "alice")
    install_by_the_page(machine)
    door = make_door(machine)
    answer = await door.run(WhoAmI(), "alice")
    assert answer["user"] == "alice"
    await door.write("/scratch/hello", b"hello", "alice")
    assert (await door.run(StatFile("/scratch/hello"), "alice"))["size"] == 5
    assert machine.path("/scratch/hello").read_text() == "hello"
    (line,) = machine.log_lines("op=sys.whoami")
    assert "outcome=ok" in line
    assert "keyid=goldcrest/alice/test/" in line


def test_installing_twice_changes_nothing(machine: Machine) -> None:
    """Once done, the same again and the same without options find everything right."""
    said = install(machine)
    assert said.count("wrote") == len(INSTALLED) + len(OURS), said
    before = listing(machine)
    assert "wrote" not in install(machine)
    assert "wrote" not in machine.run("sh", "/root/ssh-filter/install.sh").stdout
    assert listing(machine) == before
    for name in (*INSTALLED, *OURS):
        found = machine.path(name).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o022) == (0, 0, 0), name


def test_a_dry_run_touches_nothing(machine: Machine) -> None:
    """It says what it would write, and writes none of it; not even with a folder missing."""
    before = listing(machine)
    said = install(machine, "--dry-run")
    assert listing(machine) == before
    for name in (*INSTALLED, OURS[0]):
        assert f"write {name}" in said, name


def test_the_sites_own_sshd_is_not_touched(machine: Machine) -> None:
    """Neither its files nor its PAM service, in coming and going."""
    theirs = ("/etc/ssh/sshd_config", "/etc/pam.d/sshd", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/sshd_config.d")
    before = {name: value for name, value in listing(machine).items() if name.removesuffix(" mode") in theirs}
    assert len(before) == 7
    install(machine)
    machine.run("sh", "/root/ssh-filter/install.sh", "--uninstall")
    after = listing(machine)
    assert {name: after[name] for name in before} == before


def test_uninstalling_leaves_what_is_the_sites(machine: Machine) -> None:
    """All that was installed goes; the policy, the CA's key and what the administrator changed stay, and that is said."""
    before = set(listing(machine))
    install(machine)
    unit = machine.path("/etc/systemd/system/sshd-goldcrest.service")
    unit.write_text(unit.read_text() + "# ours\n")
    done = machine.run("sh", "/root/ssh-filter/install.sh", "--uninstall", check=False)
    assert done.returncode == 1  # something is left to do by hand
    assert "sshd-goldcrest.service was changed and is kept" in done.stdout
    left = {name.removesuffix(" mode") for name in set(listing(machine)) - before}
    assert left == {*OURS, "/etc/goldcrest", "/etc/systemd/system/sshd-goldcrest.service"}


def test_changed_files_are_kept(machine: Machine) -> None:
    """An administrator's change to sshd's configuration survives a newer version, which is put beside it."""
    install(machine)
    config = machine.path("/etc/ssh/sshd_goldcrest_config")
    config.write_text(config.read_text() + "AllowGroups hpc\n")
    shipped = machine.path("/root/ssh-filter/sshd_goldcrest_config")
    shipped.write_text(shipped.read_text() + "# newer\n")
    done = machine.run("sh", "/root/ssh-filter/install.sh", check=False)
    assert done.returncode == 1
    assert "TO DO" in done.stdout
    assert "AllowGroups hpc" in config.read_text()
    assert "# newer" in machine.path("/etc/ssh/sshd_goldcrest_config.goldcrest-new").read_text()


def test_unchanged_files_are_brought_up_to_date(machine: Machine) -> None:
    """What nobody touched is replaced, with the port and the address that were chosen, and the code is compiled anew."""
    install(machine)
    shipped = machine.path("/root/ssh-filter/sshd_goldcrest_config")
    shipped.write_text(shipped.read_text() + "# newer\n")
    source = machine.path("/root/ssh-filter/goldcrest-ssh-filter")
    source.write_text(source.read_text().replace('VERSION = "', 'VERSION = "9.'))
    done = machine.run("sh", "/root/ssh-filter/install.sh")
    assert "TO DO" not in done.stdout
    config = machine.path("/etc/ssh/sshd_goldcrest_config").read_text()
    assert f"\nPort {machine.port}\nListenAddress 127.0.0.1\n" in config
    assert "\n#PerSourcePenaltyExemptList 127.0.0.1\n" in config  # for an sshd that knows it
    assert config.endswith("# newer\n")
    assert "goldcrest-ssh-filter 9." in machine.run(FILTER_PATH, "--version").stdout


def test_keys_of_the_ca_are_added(machine: Machine, keys: Path, tmp_path: Path) -> None:
    """During a change of the CA both keys count: the old one is taken out by hand, later."""
    install(machine)
    make_ca_key(tmp_path / "next")
    machine.write("/root/next.pub", (tmp_path / "next.pub").read_text())
    for _ in range(2):
        machine.run("sh", "/root/ssh-filter/install.sh", "--ca", "/root/next.pub")
    lines = machine.path("/etc/goldcrest/ca.pub").read_text().splitlines()
    assert [line.split()[1] for line in lines] == [
        (keys / "ca.pub").read_text().split()[1],
        (tmp_path / "next.pub").read_text().split()[1],
    ]


@pytest.fixture(scope="session")
def next_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The line of another CA's public key."""
    folder = tmp_path_factory.mktemp("next")
    make_ca_key(folder / "ca")
    return (folder / "ca.pub").read_text().strip()


def trusted(machine: Machine) -> set[bytes]:
    """Keys of the node's CA file, as the filter reads them."""
    return set(load_filter().parse_ca_keys(machine.path("/etc/goldcrest/ca.pub").read_bytes()))


def blob(line: str) -> bytes:
    return b64decode(line.split()[1])


def test_keys_of_the_ca_whatever_the_files_look_like(machine: Machine, keys: Path, next_key: str) -> None:
    """A file without an end of its last line, as `kubectl -o jsonpath` and `printf %s` make them, on either side; a key that is only in
    a comment is not there yet. Each is one that the filter trusts then, and those before it still are."""
    first = (keys / "ca.pub").read_text().strip()
    machine.write("/root/ca.pub", first)
    install(machine)
    assert trusted(machine) == {blob(first)}
    bare = " ".join(next_key.split()[:2])
    forms = {
        "no end of the given one": (f"{first}\n", next_key),
        "no end of the node's": (first, f"{next_key}\n"),
        "no end of either": (first, next_key),
        "no comment and no end": (first, bare),
        "only in a comment": (f"{first}\n# {next_key}\n", f"{next_key}\n"),
        "in a comment without an end": (f"{first}\n#{next_key}", next_key),
        "in another key's comment": (f"{first} {bare}\n", next_key),
        "two, and blank lines": (f"\n{first}", f"# ours\n\n{first}\n  {next_key}"),
    }
    for words, (there, given) in forms.items():
        machine.write("/etc/goldcrest/ca.pub", there)
        machine.write("/root/next.pub", given)
        done = machine.run("sh", "/root/ssh-filter/install.sh", "--ca", "/root/next.pub")
        assert "wrote      /etc/goldcrest/ca.pub" in done.stdout, words
        assert trusted(machine) == {blob(first), blob(next_key)}, words
        written = machine.path("/etc/goldcrest/ca.pub").read_text()
        assert written.startswith(f"{there}\n" if there[-1] != "\n" else there), words
        assert (
            "same       /etc/goldcrest/ca.pub"
            in machine.run("sh", "/root/ssh-filter/install.sh", "--ca", "/root/next.pub").stdout
        )
        assert machine.path("/etc/goldcrest/ca.pub").read_text() == written, words


def test_a_full_disk_leaves_no_half_policy(machine: Machine) -> None:
    """It would be kept by every later run as the site's own."""
    machine.run("mkdir", "/etc/goldcrest")
    machine.run("mount", "-t", "tmpfs", "-o", "size=8k,mode=755", "tmpfs", "/etc/goldcrest")
    machine.write("/etc/goldcrest/filler", "x" * 8192)
    with pytest.raises(AssertionError, match="No space left on device"):
        install(machine)
    assert not machine.path("/etc/goldcrest/ssh-filter.json").exists()
    machine.path("/etc/goldcrest/filler").unlink()
    install(machine)
    assert json.loads(machine.path("/etc/goldcrest/ssh-filter.json").read_text())["system"] == "cluster"
    assert {path.name for path in machine.path("/etc/goldcrest").iterdir()} == {"ca.pub", "ssh-filter.json"}


WRONG_CALLS = {
    "PRIVATE key": ("--ca", "/root/ca"),
    "no public key": ("--ca", "/etc/passwd"),
    "has no key in it": ("--system", "x", "--ca", "/root/empty.pub"),
    "no key in it": ("--system", "x", "--ca", "/root/comment.pub"),
    "has a line that is no public key": ("--system", "x", "--ca", "/root/half.pub"),
    "cannot read": ("--ca", "/nowhere"),
    "--system NAME is needed": ("--ca", "/root/ca.pub"),
    "--ca FILE is needed": ("--system", "x"),
    "not 22": ("--system", "x", "--ca", "/root/ca.pub", "--port", "22"),
    "must be a number": ("--system", "x", "--ca", "/root/ca.pub", "--port", "2222; id"),
    "--gateway must be an address or a network": ("--system", "x", "--ca", "/root/ca.pub", "--gateway", "192.0.2.1/28"),
    "--listen must be an address": ("--system", "x", "--ca", "/root/ca.pub", "--listen", "x y"),
    "unknown argument --force": ("--force",),
    "--system needs a value": ("--system",),
}


def test_what_is_refused(machine: Machine, keys: Path) -> None:
    """Said in one line, with nothing done: above all the CA's private key does not stay on a node unnoticed."""
    machine.write("/root/ca", (keys / "ca").read_text(), mode=0o600)
    public = (keys / "ca.pub").read_text()
    machine.write("/root/empty.pub", "")
    machine.write("/root/comment.pub", f"# {public}")
    machine.write("/root/half.pub", f"{public}{public[:40]}")
    before = listing(machine)
    for words, options in WRONG_CALLS.items():
        done = machine.run("sh", "/root/ssh-filter/install.sh", *options, check=False)
        assert (done.returncode, words in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
        assert listing(machine) == before, words


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (0, "speaks protocol 0, not 1: it is too old; run install.sh of a newer release on the login node"),
        (2, "speaks protocol 2, not 1: it is newer than this Goldcrest, which must be updated"),
    ],
)
async def test_a_filter_of_another_version(
    machine: Machine, make_door: Callable[..., Door], protocol: int, words: str
) -> None:
    """An older or a newer filter says what it speaks, and the client which side is to be updated; nothing is signed."""
    install(machine)
    source = machine.path("/usr/libexec/goldcrest/goldcrest_ssh_filter.py")
    source.write_text(source.read_text().replace("\nPROTOCOL = 1\n", f"\nPROTOCOL = {protocol}\n"))
    make_account(machine, "alice")
    machine.start_sshd()
    door = make_door(machine)
    with pytest.raises(SystemUnreachable, match=re.escape(words)):
        await door.run(WhoAmI(), "alice")
    assert door.authority.commands == 0


def test_the_policy_file_is_made_once(machine: Machine) -> None:
    """From the options at first; afterwards it is the site's, whatever options are given."""
    install(machine)
    policy = json.loads(machine.path("/etc/goldcrest/ssh-filter.json").read_text())
    assert (policy["system"], policy["roots"]) == ("cluster", ["/home", "/scratch"])
    assert policy["environment"]["SLURM_CONF"] == "/etc/slurm/slurm.conf"
    assert "protectedNames" not in policy  # the filter's own list, which may grow with its versions
    machine.run("sh", "/root/ssh-filter/install.sh", "--system", "other", "--folder", "/")
    assert json.loads(machine.path("/etc/goldcrest/ssh-filter.json").read_text()) == policy


def test_host_keys_of_its_own(machine: Machine) -> None:
    """The door shows other keys than the site's sshd; a later run without the option keeps them."""
    install(machine, "--own-host-keys")
    machine.run("sh", "/root/ssh-filter/install.sh")
    config = machine.path("/etc/ssh/sshd_goldcrest_config").read_text()
    assert re.findall("^HostKey .*", config, re.MULTILINE) == [
        f"HostKey /etc/ssh/goldcrest_host_{kind}_key" for kind in ("ed25519", "ecdsa", "rsa")
    ]
    assert machine.path("/etc/ssh/goldcrest_host_ed25519_key").stat().st_mode & 0o777 == 0o600


def test_help_names_every_option() -> None:
    """An option that is not in the help is not there for anybody."""
    text = (SSH_FILTER / "install.sh").read_text()
    help_text = text.partition("<<'END'\n")[2].partition("\nEND\n")[0]
    parsed = text.partition("while [ $# -gt 0 ]")[2].partition("\ndone\n")[0]
    assert set(re.findall(r"--[a-z-]+", parsed)) == set(re.findall(r"--[a-z-]+", help_text))
