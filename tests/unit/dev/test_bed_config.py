"""The bed's configuration: merging an overlay, and refusing what would fail late."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldcrest_bed import config
from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import PROFILES, Paths

pytestmark = pytest.mark.unit


def overlay(folder: Path, text: str) -> Path:
    path = folder / "overlay.toml"
    path.write_text(text)
    return path


def test_tables_merge_and_values_replace() -> None:
    base = {"a": {"x": 1, "y": {"z": 2}}, "list": [1, 2]}
    assert config.merge(base, {"a": {"y": {"w": 3}}, "list": [9]}) == {
        "a": {"x": 1, "y": {"z": 2, "w": 3}},
        "list": [9],
    }
    assert base == {"a": {"x": 1, "y": {"z": 2}}, "list": [1, 2]}, "the base is left as it was"


def test_false_removes_a_named_entry_but_is_a_value_elsewhere() -> None:
    base = {"users": {"alice": {"uid": 1}, "bob": {"uid": 2}}, "flag": True}
    assert config.merge(base, {"users": {"bob": False}, "flag": False}) == {
        "users": {"alice": {"uid": 1}},
        "flag": False,
    }


def test_an_overlay_adds_a_user_to_the_real_configuration(tmp_path: Path) -> None:
    path = overlay(tmp_path, '[system.users.dave]\nuid = 2004\naccounts = ["physics"]\n')
    users = config.load([path])["system"]["users"]
    assert users["dave"]["uid"] == 2004
    assert users["alice"]["uid"] == 2001


def test_a_source_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    path = overlay(tmp_path, '[system.files."/etc/motd"]\nsource = "motd.txt"\n')
    assert config.load([path])["system"]["files"]["/etc/motd"]["source"] == str(tmp_path / "motd.txt")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[system.users.dave]\nuid = 2001\n", "also alice's"),
        ('[system.users.dave]\naccounts = ["physics"]\n', "needs a uid"),
        ('[system.users.dave]\nuid = 2004\naccounts = ["biology"]\n', "biology"),
        ('[system.partitions.gpu]\nnodes = ["g1"]\n', "g1"),
        ("[oidc.clients.other]\n", "oidc.clients.other"),
        ('[system.files."etc/motd"]\ncontent = ""\n', "not an absolute path"),
        ("[system\n", "is not TOML"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BedError, match=named):
        config.load([overlay(tmp_path, text)])


def test_a_missing_overlay_is_named(tmp_path: Path) -> None:
    with pytest.raises(BedError, match=r"nowhere\.toml"):
        config.load([tmp_path / "nowhere.toml"])


def test_saved_configuration_comes_back(tmp_path: Path) -> None:
    chosen = config.load([], kube="kind", extra=("keycloak",))
    chosen.save(tmp_path / "config.json")
    assert config.Config.saved(tmp_path / "config.json") == chosen
    (tmp_path / "config.json").write_text("{half")
    assert config.Config.saved(tmp_path / "config.json") is None


def test_the_hard_site_can_run_beside_the_ordinary_bed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, addresses and ports of its own, none of which the kernel hands out to whoever connects somewhere."""
    ordinary = config.load([])
    monkeypatch.setenv("GOLDCREST_BED_PROFILE", "hard")
    hard = config.load([])
    assert not set(ordinary["ports"].values()) & set(hard["ports"].values())
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in hard["ports"].values() if first <= port <= last]
    for key in ("name", "link", "host_address", "node_address"):
        assert ordinary["network"][key] != hard["network"][key]
    assert ordinary["container"]["name"] != hard["container"]["name"]


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_profile_is_a_bed(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """It can be loaded, and its state is its own."""
    before = Paths.from_environment()
    monkeypatch.setenv("GOLDCREST_BED_PROFILE", path.stem)
    config.load([])
    assert Paths.from_environment().state != before.state
    assert Paths.from_environment("").state == before.state
