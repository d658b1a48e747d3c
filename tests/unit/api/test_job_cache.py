"""The cache of Jobs: what is told late, twice, or in the wrong order changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from goldcrest_api.job_cache import JobCache

pytestmark = pytest.mark.unit


def job(
    version: int, *, name: str = "r-" + "a" * 32, uid: str = "u1", user: str = "alice", **status: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": uid,
            "resourceVersion": str(version),
            "creationTimestamp": "2030-01-02T03:04:05Z",
        },
        "spec": {"system": "cluster", "runAs": user, "requestedBy": {"via": "Grant"}},
        "status": status,
    }


def phase(cache: JobCache) -> str | None:
    view = cache.by_task("a" * 32)
    return view.status.phase if view is not None else None


def test_indexes_follow_changes() -> None:
    """A Job is found by each key it has now, and by none that it had."""
    cache = JobCache()
    cache.apply(job(1))
    assert cache.by_scheduler_id("cluster", "7") == []
    cache.apply(job(2, jobId="7"))
    (view,) = cache.by_scheduler_id("cluster", "7")
    assert cache.by_name("team", view.name) == cache.by_task(view.task_id) == cache.by_cancel_task(view.cancel_task_id)
    assert cache.of_user("alice") == [view]
    cache.remove(job(3))
    assert cache.by_scheduler_id("cluster", "7") == cache.of_user("alice") == []
    assert cache.by_task(view.task_id) is None
    assert len(cache) == 0


def test_older_news_do_not_overwrite_newer_ones() -> None:
    """The watch tells an earlier version after our own write was answered."""
    cache = JobCache()
    cache.advance("4")
    cache.learn(job(6, phase="Queued"))
    cache.apply(job(5, phase="Pending"))
    assert phase(cache) == "Queued"
    cache.apply(job(10, phase="Running"))
    assert phase(cache) == "Running"


def test_deleted_object_does_not_rise_again() -> None:
    """The answer to our own write arrives after the watch has told of the deletion."""
    cache = JobCache()
    cache.apply(job(5))
    cache.remove(job(7))
    cache.advance("7")
    cache.learn(job(6))
    assert len(cache) == 0


def test_own_write_survives_a_list_that_began_before_it() -> None:
    """A list of an earlier version does not know what we made since."""
    cache = JobCache()
    cache.learn(job(9))
    cache.retain(set(), resource_version="8")
    assert len(cache) == 1
    cache.retain(set(), resource_version="9")
    assert len(cache) == 0


def list_all(cache: JobCache, *jobs: dict[str, Any], version: int) -> None:
    for raw in jobs:
        cache.listed(raw, resource_version=str(version))
    cache.retain({raw["metadata"]["uid"] for raw in jobs}, resource_version=str(version))


def test_list_of_an_earlier_state() -> None:
    """etcd was restored: what the list says counts, though later versions were known, and what it does not have is gone."""
    cache = JobCache()
    list_all(cache, job(5, phase="Queued"), version=6)
    cache.apply(job(9, phase="Running"))
    cache.apply(job(10, uid="u2", name="later"))
    cache.advance("10")
    list_all(cache, job(5, phase="Queued"), version=6)
    assert (phase(cache), len(cache), cache.position) == ("Queued", 1, "6")
    cache.apply(job(7, phase="Cancelled"))
    assert phase(cache) == "Cancelled"


def test_list_of_an_earlier_state_with_later_versions() -> None:
    """As after `etcdutl snapshot restore --bump-revision`: the list's version is beyond all, those of the objects are early."""
    cache = JobCache()
    list_all(cache, job(5, phase="Queued"), version=6)
    cache.apply(job(9, phase="Running"))
    cache.advance("9")
    list_all(cache, job(5, phase="Queued"), version=1000)
    assert phase(cache) == "Queued"


def test_list_that_began_before_an_own_write() -> None:
    """It does not take back what we wrote since."""
    cache = JobCache()
    list_all(cache, job(5, phase="Queued"), version=6)
    cache.learn(job(8, phase="Running"))
    list_all(cache, job(5, phase="Queued"), version=7)
    assert phase(cache) == "Running"


def test_name_that_is_used_again() -> None:
    """The new resource of the same name is not lost when the old one's deletion is told late."""
    cache = JobCache()
    cache.apply(job(1, uid="u1"))
    cache.apply(job(3, uid="u2"))
    cache.remove(job(2, uid="u1"))
    view = cache.by_name("team", "r-" + "a" * 32)
    assert view is not None
    assert view.uid == "u2"
    assert cache.by_task("a" * 32) == view


def test_name_of_rest_that_was_taken_with_kubectl() -> None:
    """It takes over no task: only what came through REST is found by the id in its name."""
    cache = JobCache()
    cache.apply(job(1, uid="u1"))
    taken = job(2, uid="u2", user="mallory")
    taken["metadata"]["namespace"] = "mallorys"
    taken["spec"]["requestedBy"] = {"via": "Kubernetes"}
    cache.apply(taken)
    view = cache.by_task("a" * 32)
    assert view is not None
    assert view.uid == "u1"
    other = cache.by_task("u2")
    assert other is not None
    assert other.run_as == "mallory"


def calls_of(act: Callable[[], object]) -> int:
    """How many functions are called, Python's and C's."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def test_answers_cost_what_their_owner_has() -> None:
    """With ten thousand Jobs of others in the cache, no step more is taken than with none."""
    counts = []
    for others in (0, 10_000):
        cache = JobCache()
        for number in range(10):
            cache.apply(job(number + 1, name=f"mine-{number}", uid=f"mine-{number}", jobId=str(number)))
        for number in range(others):
            cache.apply(job(number + 100, name=f"other-{number}", uid=f"other-{number}", user=f"user{number % 50}"))
        assert len(cache) == 10 + others
        assert len(cache.of_user("alice")) == 10
        counts.append(
            [
                calls_of(partial(cache.of_user, "alice")),
                calls_of(partial(cache.by_name, "team", "mine-3")),
                calls_of(partial(cache.by_task, "mine3")),
                calls_of(partial(cache.by_scheduler_id, "cluster", "3")),
                calls_of(partial(cache.has_all, {"mine-1": "2"})),
            ]
        )
    assert counts[0] == counts[1]
    assert max(counts[0]) < 60
