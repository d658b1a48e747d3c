"""Whatever is lost, and whoever dies on the way: the end is that of the run in which nothing went wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from component.operator.fake_slurm import Effect, fails, lost_after, lost_before, output, says
from component.operator.play import Play
from goldcrest.errors import KubernetesUnavailable, SystemUnreachable
from goldcrest_operator.faults import POINTS

pytestmark = pytest.mark.component

OPERATIONS = [
    "slurm.submit",
    "slurm.release",
    "slurm.hold",
    "slurm.cancel",
    "slurm.find",
    "slurm.queue",
    "slurm.describe",
]
FAULTS: dict[str, Any] = {
    "lost before": lost_before,
    "lost after": lost_after,
    "unreachable": fails(SystemUnreachable("no host answers")),
    "not now": says(output(status=1, stderr="sbatch: error: Unable to contact slurm controller")),
    "unclear": says(output(status=1, stderr="sbatch: error: Socket timed out on send/recv operation"), acts=True),
}


class AnyHistory(RuleBasedStateMachine):
    """A user who changes their mind, while answers are lost, processes die and parts are away. Slurm starts nothing before the end."""

    def __init__(self) -> None:
        super().__init__()
        self.play: Play | None = None
        self.wishes: list[tuple[str, Any]] = []
        self.snapshot: object = None
        self.went_back = False

    @initialize(spec=st.sampled_from([{}, {"suspend": True}, {"runKey": "k"}, {"deletionPolicy": "Orphan"}]))
    def create(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.play = Play(**spec)

    def _wish(self, name: str, value: object) -> None:
        assert self.play is not None
        self.wishes.append((name, value))
        _follow(self.play, name, value)

    @rule(value=st.booleans())
    def suspend_or_resume(self, value: bool) -> None:
        self._wish("suspend", value)

    @rule()
    def cancel(self) -> None:
        self._wish("cancel", True)

    @rule()
    def delete(self) -> None:
        self._wish("delete", None)

    @rule(op=st.sampled_from(OPERATIONS), fault=st.sampled_from(sorted(FAULTS)))
    def lose(self, op: str, fault: str) -> None:
        assert self.play is not None
        if fault not in ("not now", "unclear") or op == "slurm.submit":
            self.play.slurm.faults[op].append(FAULTS[fault])

    @rule(point=st.sampled_from(POINTS))
    def die_at(self, point: Any) -> None:
        assert self.play is not None
        self.play.restart(fault=point)

    @rule()
    def restart(self) -> None:
        assert self.play is not None
        self.play.restart()

    @rule(times=st.integers(1, 4))
    def work(self, times: int) -> None:
        assert self.play is not None
        for _ in range(times):
            self.play.work()

    @rule(seconds=st.sampled_from([1, 20, 100, 1000]))
    def time_passes(self, seconds: int) -> None:
        assert self.play is not None
        self.play.now += seconds
        for key in list(self.play.queue.later):
            self.play.queue.add(key)
        self.play.work()

    @rule(times=st.integers(1, 3))
    def kubernetes_is_away(self, times: int) -> None:
        assert self.play is not None
        self.play.kube.down = True
        try:
            for _ in range(times):
                self.play.work()
        except KubernetesUnavailable:
            pass  # the worker tries again
        finally:
            self.play.kube.down = False
        self.play.restart()

    @rule()
    def snapshot_is_taken(self) -> None:
        assert self.play is not None
        self.snapshot = self.play.kube.snapshot()

    @rule()
    def snapshot_is_restored(self) -> None:
        """Kubernetes is as it was; the operator notices by its Lease, and is followed by another. Slurm goes on."""
        assert self.play is not None
        if self.snapshot is not None:
            self.play.kube.put_back(self.snapshot)
            self.play.restart()
            self.went_back = True

    @invariant()
    def never_two(self) -> None:
        """Held doubles may exist for a moment; two jobs that could run never do."""
        if self.play is not None:
            assert self.play.can_run() <= 1

    def teardown(self) -> None:
        if self.play is None:
            return
        play, calm = self.play, Play(**self.spec)
        try:
            play.slurm.faults.clear()
            play.settle()
            calm.settle()
            for name, value in self.wishes:
                _follow(calm, name, value)
                calm.settle()
            for each in (play, calm):
                _let_slurm_work(each)
            if self.went_back:
                # What was wished for since, and has been done, is not known any more: it ran once, or not at all.
                assert play.end()["ran"] <= 1
            else:
                _compare(play.end(), calm.end(), orphan="deletionPolicy" in self.spec)
            if play.job() is not None:
                _writes_nothing_more(play)
        finally:
            play.close()
            calm.close()


def _follow(play: Play, name: str, value: object) -> None:
    if name == "delete":
        play.delete()
    else:
        play.edit(**{name: value})


def _compare(found: dict[str, Any], calm: dict[str, Any], *, orphan: bool) -> None:
    """The same end; whether it had been submitted when a wish came may differ, and with it what Slurm can say."""
    if calm.get("job", found) is None:
        assert found.get("job", "there") is None
        assert found["ran"] <= 1 if orphan else (found["ran"], found["alive"]) == (0, 0)
        return
    always = ("phase", "conditions", "ran", "latched", "generation")
    assert {name: found[name] for name in always} == {name: calm[name] for name in always}
    if found["submitted"] == calm["submitted"]:
        # What was used is not asked any more by who comes ten minutes after the end.
        assert found in (calm, {**calm, "usage": None})


def _let_slurm_work(play: Play) -> None:
    for _ in range(3):
        play.slurm._advance()
        play.settle()


def _writes_nothing_more(play: Play) -> None:
    """Reconciling it again, also in another process, changes nothing; nor does it in Slurm."""
    jobs = {number: job.state for number, job in play.slurm.jobs.items()}
    version = play.job()["metadata"]["resourceVersion"]  # type: ignore[index]
    for _ in range(2):
        play.restart()
        play.settle()
    assert play.job()["metadata"]["resourceVersion"] == version  # type: ignore[index]
    assert {number: job.state for number, job in play.slurm.jobs.items()} == jobs


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=100,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize(
    "wishes", [[], [("suspend", True)], [("suspend", True), ("suspend", False)], [("cancel", True)]]
)
def test_calm(wishes: list[tuple[str, Any]]) -> None:
    """What all histories are compared with is what a user expects."""
    play = Play()
    try:
        play.settle()
        for name, value in wishes:
            _follow(play, name, value)
            play.settle()
        _let_slurm_work(play)
        end = play.end()
        last = wishes[-1] if wishes else ("suspend", False)
        phase = {("suspend", False): "Succeeded", ("suspend", True): "Suspended", ("cancel", True): "Cancelled"}[last]
        assert (end["phase"], end["ran"]) == (phase, int(phase == "Succeeded"))
        assert (end["usage"] is not None) == (phase != "Suspended")
        _writes_nothing_more(play)
    finally:
        play.close()


def test_let_go_by_a_successor() -> None:
    """An operator holds a job, cannot write that down any more, and dies; meanwhile the user wants it to run: it does, not being held for
    ever. The same where it was let go, that was not written down, and the user wants it held."""
    play = Play()

    async def then_kubernetes_is_away(effect: Effect) -> dict[str, Any]:
        play.kube.down = True
        return effect()

    try:
        play.settle()
        for op, wish, held in (("slurm.hold", True, False), ("slurm.release", False, True)):
            play.slurm.faults[op] = [then_kubernetes_is_away]
            play.edit(suspend=wish)
            with pytest.raises(KubernetesUnavailable):
                play.work()
            play.kube.down = False
            play.edit(suspend=not wish)
            play.restart()
            play.settle()
            assert play.slurm.jobs[101].held == held
            play.edit(suspend=True)
            play.settle()
        play.edit(suspend=False)
        play.settle()
        _let_slurm_work(play)
        assert (play.end()["phase"], play.end()["ran"]) == ("Succeeded", 1)
    finally:
        play.close()
