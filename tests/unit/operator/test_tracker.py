"""What the tracker makes of what the scheduler shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from goldcrest.errors import Denied, SchedulerUnavailable, SystemUnreachable
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.metrics import Metrics
from goldcrest_operator.reconcile.observation import Sighting
from goldcrest_operator.scheduler.interface import Element, JobView, Target
from goldcrest_operator.store import Followed, Store
from goldcrest_operator.tracker import Tracker
from goldcrest_operator.tracking.lanes import TrackerTimes
from unit.operator.jobs import CLUSTER, in_phase, system

pytestmark = pytest.mark.unit

TIMES = TrackerTimes(hot=0.005, hot_for=60, few=0.005, active=0.005, idle=0.01, per_second=10_000)


class Shown:
    """A scheduler that shows what a test wants it to show."""

    def __init__(self) -> None:
        self.queued: list[JobView] = []
        self.exact: dict[str, JobView] = {}
        self.recorded: dict[str, JobView] = {}
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []
        self.error: dict[str, Exception] = {}
        self.denied_basis: set[str] = set()
        self.takes = 0.0
        self.under_way = 0
        self.most_under_way = 0

    async def queue(self, target: Target, scope: str) -> tuple[JobView, ...]:
        self._ask("queue", target, (scope,))
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        await asyncio.sleep(self.takes)
        self.under_way -= 1
        return tuple(view for view in self.queued if scope == "all" or view.user == target.user)

    async def details(self, target: Target, job_ids: Sequence[str]) -> Mapping[str, JobView]:
        self._ask("details", target, tuple(job_ids))
        return {job_id: self.exact[job_id] for job_id in job_ids if job_id in self.exact}

    async def accounting(self, target: Target, scope: str, job_ids: Sequence[str]) -> Mapping[str, JobView]:
        self._ask("accounting", target, tuple(job_ids))
        return {job_id: self.recorded[job_id] for job_id in job_ids if job_id in self.recorded}

    def _ask(self, what: str, target: Target, details: tuple[str, ...]) -> None:
        self.asked.append((what, target.user, details))
        if what in self.error:
            raise self.error[what]
        if getattr(target.basis, "name", "") in self.denied_basis:
            raise Denied("not any more")


class Stage:
    def __init__(self, *, observer: str | None, times: TrackerTimes = TIMES) -> None:
        self.shown = Shown()
        self.store = Store(cluster_id=CLUSTER)
        self.changed: list[str] = []
        spec = system(**({"observer": observer} if observer else {})).dump()
        meta = {"name": "cluster", "uid": "s-1", "generation": 1, "resourceVersion": "1"}
        self.store.put_system({"metadata": meta, "spec": spec})
        self.tracker = Tracker(
            store=self.store,
            scheduler=self.shown,  # type: ignore[arg-type]
            changed=self.changed.append,
            refresh=self._refresh,
            active=lambda: True,
            times=times,
            metrics=Metrics(),
        )

    async def _refresh(self, followed: Followed) -> None:
        pass

    def follow(self, job_id: str, *, user: str = "alice", array: str | None = None) -> str:
        uid = f"00000000-0000-0000-0000-{int(job_id):012d}"
        spec: dict[str, Any] = {"system": "cluster", "runAs": user, "script": {"inline": "x"}}
        self.store.put_job(
            {
                "metadata": {
                    "name": f"job-{job_id}",
                    "namespace": "n",
                    "uid": uid,
                    "resourceVersion": "1",
                    "creationTimestamp": "2030-01-01T00:00:00Z",
                },
                "spec": {**spec, **({"array": array} if array else {})},
                "status": in_phase(
                    Phase.QUEUED,
                    jobId=job_id,
                    submission={"token": self.token(uid), "time": "2030-01-01T00:00:00Z"},
                ),
            }
        )
        self.tracker.follow("cluster", user, hurry=True)
        return uid

    @staticmethod
    def token(uid: str) -> str:
        return f"goldcrest:12345678:{uid.replace('-', '')}"

    def view(self, job_id: str, state: str = "RUNNING", *, user: str = "alice", **fields: Any) -> JobView:
        phase, outcome = {
            "RUNNING": (Phase.RUNNING, Reason.RUNNING),
            "PENDING": (Phase.QUEUED, Reason.QUEUED),
            "COMPLETED": (Phase.SUCCEEDED, Reason.COMPLETED),
            "FAILED": (Phase.FAILED, Reason.NON_ZERO_EXIT),
        }[state]
        values: dict[str, Any] = {
            "job_id": job_id,
            "user": user,
            "token": self.token(f"00000000-0000-0000-0000-{int(job_id):012d}"),
            "state": state,
            "reason": None,
            "phase": phase,
            "outcome": outcome,
            "message": state,
            **fields,
        }
        return JobView(**values)

    async def until(self, uid: str, condition: Callable[[Sighting], object]) -> Sighting:
        async with asyncio.timeout(5):
            while not condition(self.tracker.sighting(uid)):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return self.tracker.sighting(uid)

    async def rounds(self, number: int = 5) -> None:
        await asyncio.sleep(0.01 * number)


@pytest.fixture
async def make(request: pytest.FixtureRequest) -> Any:
    stages: list[Stage] = []

    def stage(*, observer: str | None = "watcher", **others: Any) -> Stage:
        stages.append(Stage(observer=observer, **others))
        return stages[-1]

    yield stage
    for each in stages:
        await each.tracker.close()


async def test_one_query_for_all(make: Callable[..., Stage]) -> None:
    """With an observer all users' jobs are seen in one query, asked as the observer; unchanged ones are told once."""
    stage = make()
    stage.shown.queued = [stage.view("1"), stage.view("2", user="bob")]
    one, two = stage.follow("1"), stage.follow("2", user="bob")
    await stage.until(one, lambda seen: seen.view)
    await stage.until(two, lambda seen: seen.view)
    await stage.rounds()
    assert set(stage.shown.asked) == {("queue", "watcher", ("all",))}
    assert sorted(stage.changed) == [one, two]


async def test_a_query_for_each_user(make: Callable[..., Stage]) -> None:
    """Without an observer each user's jobs are asked for as that user."""
    stage = make(observer=None)
    stage.shown.queued = [stage.view("1"), stage.view("2"), stage.view("3", user="bob")]
    uids = [stage.follow("1"), stage.follow("2"), stage.follow("3", user="bob")]
    for uid in uids:
        await stage.until(uid, lambda seen: seen.view)
    assert {(user, scope) for _, user, scope in stage.shown.asked} == {("alice", ("own",)), ("bob", ("own",))}


async def test_one_revoked_job_does_not_hide_the_others(make: Callable[..., Stage]) -> None:
    """A Job whose requester has lost the right is no ground to ask any more; the user's other Jobs are still followed."""
    stage = make(observer=None)
    stage.shown.queued = [stage.view("1"), stage.view("2")]
    stage.shown.denied_basis = {"job-1"}
    stage.follow("1")
    other = stage.follow("2")
    assert (await stage.until(other, lambda seen: seen.view)).trouble is None


async def test_one_revoked_job_does_not_hold_up_the_others_ends(make: Callable[..., Stage]) -> None:
    """A Job that may not be asked for any more has trouble of its own; the ends of the user's others are seen all the same."""
    stage = make(observer=None)
    stage.shown.exact = {"2": stage.view("2", "COMPLETED")}
    stage.shown.recorded = {"3": stage.view("3", "COMPLETED")}
    stage.shown.denied_basis = {"job-1"}
    revoked, described, recorded = (stage.follow(number) for number in "123")
    for uid in (described, recorded):
        seen = await stage.until(uid, lambda seen: seen.view)
        assert seen.trouble is None
    seen = await stage.until(revoked, lambda seen: seen.trouble)
    assert seen.trouble is not None
    assert (seen.trouble.reason, seen.trouble.stalled) == (Reason.POLICY_DENIED, True)
    await stage.rounds(20)
    assert stage.tracker.sighting(revoked).trouble == seen.trouble


async def test_ended(make: Callable[..., Stage]) -> None:
    """What has ended in the queue is settled by the exact record, with the queue's times."""
    stage = make()
    stage.shown.queued = [stage.view("1", "FAILED", start=100, end=160)]
    stage.shown.exact = {"1": stage.view("1", "FAILED", exit_code=3, signal=0, elapsed=60)}
    seen = await stage.until(stage.follow("1"), lambda seen: seen.view)
    assert seen.view is not None
    assert (seen.view.exit_code, seen.view.start, seen.view.end) == (3, 100, 160)


async def test_gone(make: Callable[..., Stage]) -> None:
    """What the controller has forgotten is settled by accounting; by user, so that nobody's text is in another's answer."""
    stage = make()
    stage.shown.recorded = {"1": stage.view("1", "COMPLETED"), "2": stage.view("2", "FAILED", user="bob", exit_code=1)}
    one, two = stage.follow("1"), stage.follow("2", user="bob")
    await stage.until(one, lambda seen: seen.view and seen.view.phase is Phase.SUCCEEDED)
    await stage.until(two, lambda seen: seen.view and seen.view.phase is Phase.FAILED)
    assert ("accounting", "watcher", ("1", "2")) not in stage.shown.asked


async def test_id_used_again(make: Callable[..., Stage]) -> None:
    """Another job with the same id (other user, other token) is not ours: ours is settled by accounting."""
    stage = make()
    stage.shown.queued = [stage.view("1", user="bob"), stage.view("2", token="somebody's comment")]
    stage.shown.exact = {"1": stage.view("1", user="bob"), "2": stage.view("2", token="somebody's comment")}
    stage.shown.recorded = {"1": stage.view("1", "COMPLETED"), "2": stage.view("2", "COMPLETED")}
    for uid in (stage.follow("1"), stage.follow("2")):
        seen = await stage.until(uid, lambda seen: seen.view)
        assert seen.view is not None
        assert seen.view.phase is Phase.SUCCEEDED


async def test_no_comments(make: Callable[..., Stage]) -> None:
    """Where comments are not shown, id and user are enough."""
    stage = make()
    stage.shown.queued = [stage.view("1", token=None)]
    await stage.until(stage.follow("1"), lambda seen: seen.view)


async def test_accounting_away(make: Callable[..., Stage]) -> None:
    """Gone and accounting away: trouble that is shown, asked again with pauses; settled when it is back."""
    stage = make()
    stage.shown.error["accounting"] = SchedulerUnavailable("slurmdbd is away")
    uid = stage.follow("1")
    seen = await stage.until(uid, lambda seen: seen.trouble)
    assert seen.trouble is not None
    assert seen.trouble.unreachable
    await stage.rounds()
    assert sum(asked[0] == "accounting" for asked in stage.shown.asked) == 1


async def test_system_away(make: Callable[..., Stage]) -> None:
    """A system that does not answer is trouble at all of its jobs, with what was seen last kept; gone when it answers."""
    stage = make()
    stage.shown.queued = [stage.view("1")]
    uid = stage.follow("1")
    await stage.until(uid, lambda seen: seen.view)
    stage.shown.error["queue"] = SystemUnreachable("no host answers")
    seen = await stage.until(uid, lambda seen: seen.trouble)
    assert seen.view is not None
    del stage.shown.error["queue"]
    await stage.until(uid, lambda seen: seen.trouble is None)


async def test_array(make: Callable[..., Stage]) -> None:
    """An array that has ended is settled by accounting, which has all elements; not while accounting still sees it run."""
    stage = make()
    stage.shown.queued = [stage.view("1", "COMPLETED")]
    stage.shown.exact = {"1": stage.view("1", "COMPLETED")}
    stage.shown.recorded = {"1": stage.view("1", "RUNNING")}
    uid = stage.follow("1", array="1-10")
    await stage.rounds(10)
    assert stage.tracker.sighting(uid).view is None
    stage.shown.recorded = {"1": stage.view("1", "FAILED", exit_code=2)}
    seen = await stage.until(uid, lambda seen: seen.view)
    assert seen.view is not None
    assert (seen.view.phase, seen.view.exit_code) == (Phase.FAILED, 2)


async def test_array_of_which_accounting_lacks_an_element(make: Callable[..., Stage]) -> None:
    """It learns of ends one by one, and the one that failed may be the last: the whole has not ended well before it is there."""
    stage = make()
    ended = [Element(0, "COMPLETED"), Element(1, "FAILED"), Element(2, "COMPLETED")]
    stage.shown.queued = [stage.view("1", "FAILED", array=True, elements=tuple(ended))]
    stage.shown.recorded = {"1": stage.view("1", "COMPLETED", array=True, elements=(ended[0], ended[2]))}
    uid = stage.follow("1", array="0-2")
    await stage.rounds(10)
    assert stage.tracker.sighting(uid).view is None
    assert ("accounting", "watcher", ("1",)) in stage.shown.asked
    stage.shown.recorded = {"1": stage.view("1", "FAILED", array=True, exit_code=7, elements=tuple(ended))}
    stage.tracker.look_again(uid)
    seen = await stage.until(uid, lambda seen: seen.view)
    assert seen.view is not None
    assert (seen.view.phase, seen.view.exit_code) == (Phase.FAILED, 7)


@pytest.mark.parametrize("queued", [True, False])
async def test_array_by_a_line_of_its_script(make: Callable[..., Stage], queued: bool) -> None:
    """An array that only its script asked for, known by what the scheduler shows: an element that failed early counts."""
    stage = make()
    stage.shown.queued = [stage.view("1", array=True)] if queued else []
    stage.shown.exact = {"1": stage.view("1", "COMPLETED", array=not queued)}
    stage.shown.recorded = {"1": stage.view("1", "FAILED", exit_code=2)}
    uid = stage.follow("1")
    if queued:
        await stage.until(uid, lambda seen: seen.view)
        stage.shown.queued = []
    seen = await stage.until(uid, lambda seen: seen.view and seen.view.final)
    assert seen.view is not None
    assert (seen.view.phase, seen.view.exit_code) == (Phase.FAILED, 2)


async def test_many_users(make: Callable[..., Stage]) -> None:
    """With a job each of many users, the controller is asked no more often in a second, and not by all at once; every job is seen."""
    times = TrackerTimes(hot=0.01, hot_for=0, few=0.01, few_jobs=1000, idle=10, per_second=50, at_once=3)
    stage = make(observer=None, times=times)
    stage.shown.takes = 0.002
    stage.shown.queued = [stage.view(str(number), user=f"user{number}") for number in range(1, 41)]
    uids = [stage.follow(str(number), user=f"user{number}") for number in range(1, 41)]
    for uid in uids:
        await stage.until(uid, lambda seen: seen.view)
    before = len(stage.shown.asked)
    await asyncio.sleep(1)
    assert len(stage.shown.asked) - before <= 2 * 50 + 3
    assert stage.shown.most_under_way == 3


async def test_doubles(make: Callable[..., Stage]) -> None:
    """A held job with a Job's token and another id is a stray; one that is not held, or another user's, is not."""
    stage = make()
    uid = stage.follow("1")
    token = stage.token(uid)
    stage.shown.queued = [
        stage.view("1"),
        stage.view("8", "PENDING", token=token, held=True),
        stage.view("9", "PENDING", token=token),
        stage.view("10", "PENDING", token=token, held=True, user="mallory"),
    ]
    seen = await stage.until(uid, lambda seen: seen.strays)
    assert seen.strays == ("8",)
    stage.shown.queued = [stage.view("1")]
    await stage.until(uid, lambda seen: not seen.strays)
