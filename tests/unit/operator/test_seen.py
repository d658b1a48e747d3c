"""What the scheduler shows, as fields of the status."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.models.job import JobResource
from goldcrest.models.job_details import Allotment, ArrayStatus
from goldcrest.wellknown import EventReason, Phase, Reason
from goldcrest_operator.reconcile.allotments import asked_fields, differences
from goldcrest_operator.reconcile.arrays import FORGOTTEN, merged
from goldcrest_operator.reconcile.job import next_step
from goldcrest_operator.reconcile.observation import Observation, Sighting
from goldcrest_operator.reconcile.statuses import iso, reason_of
from goldcrest_operator.reconcile.steps import Hold, Release, Rest, WriteStatus
from goldcrest_operator.scheduler.elements import indexes, ranges
from goldcrest_operator.scheduler.interface import Component, Consumed, Element, JobView
from goldcrest_operator.scheduler.waiting import why_waiting
from unit.operator.jobs import CLUSTER, COMPLETED, INTENT, NOW, PENDING, in_phase, job, system, view

pytestmark = pytest.mark.unit

QUEUED = in_phase(Phase.QUEUED, jobId="12", submission={**INTENT, "released": True}, files={"stdout": "/x/a-%N.out"})


def submitted(status: dict[str, Any] | None = None, **spec: Any) -> JobResource:
    return job(spec=spec, status=status or QUEUED)


def seen(resource: JobResource, shown: JobView | None = None, **sighting: Any) -> Any:
    observed = Observation(now=NOW, sighting=Sighting(view=shown, **sighting))
    return next_step(resource, system(), observed, cluster_id=CLUSTER)


def after(resource: JobResource, shown: JobView) -> JobResource:
    step = seen(resource, shown)
    assert isinstance(step, WriteStatus)
    return resource.model_copy(update={"status": step.status})


def pending(**fields: Any) -> JobView:
    return view(
        "PENDING", Phase.QUEUED, Reason.QUEUED, reason="Priority", message="Job 12 waits in the queue.", **fields
    )


# ---- why it waits, and until when ----


def test_when_it_is_expected_to_start() -> None:
    """In the status and the message; gone once it has started."""
    told = after(submitted(), pending(expected_start=NOW + 3600))
    assert told.status.expected_start_time == iso(NOW + 3600)
    assert told.status.message == f"Job 12 waits in the queue. Expected to start at {iso(NOW + 3600)}."
    started = after(told, view(start=NOW, node_list="n7"))
    assert started.status.expected_start_time is None
    assert "Expected" not in (started.status.message or "")


@pytest.mark.parametrize(("moved", "written"), [(200, False), (-299, False), (301, True), (5000, True)])
def test_a_guess_that_hardly_moves_is_no_news(moved: int, written: bool) -> None:
    """Backfill reckons anew every half minute; ten thousand waiting jobs must not be written as often."""
    told = after(submitted(), pending(expected_start=NOW + 1000))
    assert isinstance(seen(told, pending(expected_start=NOW + 1000 + moved)), WriteStatus if written else Rest)
    later = after(submitted(), pending(expected_start=NOW + 100_000))
    assert seen(later, pending(expected_start=NOW + 109_000)) == Rest()  # a tenth of what is left


def test_reasons_in_words() -> None:
    """With Slurm's own word behind them; unknown ones as they are."""
    assert why_waiting("Priority") == "jobs with a higher priority go first (Priority)"
    assert why_waiting("QOSMaxJobsPerUserLimit") == "a limit of its QOS is reached (QOSMaxJobsPerUserLimit)"
    assert why_waiting("AssocGrpCPUMinutesLimit") == "a limit of its account is reached (AssocGrpCPUMinutesLimit)"
    assert why_waiting("ReqNodeNotAvail, UnavailableNodes:n[1-2]").startswith("a node that it needs is not available (")
    assert why_waiting("SomethingNew") == "SomethingNew"


def test_a_dependency_that_slurm_knows_never_comes() -> None:
    """Stalled, as for a gjob: a person must do something."""
    step = seen(submitted(), view("PENDING", Phase.QUEUED, Reason.QUEUED, reason="DependencyNeverSatisfied"))
    assert reason_of(step.status) is Reason.DEPENDENCY_FAILED
    assert {c.type: c.status for c in step.status.conditions}["Stalled"] == "True"


# ---- what was asked for, and what was given ----


def test_asked_is_what_counts() -> None:
    """Fields over lines; the lines that lose are told."""
    script = {"inline": "#!/bin/sh\n#SBATCH -p long -t 5\n#SBATCH -A physics\n"}
    fields = asked_fields(job(spec={"script": script, "timeLimit": "10", "qos": "high"}), None)
    assert fields["asked"] == Allotment(account="physics", partition="long", qos="high", time_limit="10")
    assert fields["overridden"] == [
        "line 2 of the script: --time is not used, because spec.timeLimit says something else"
    ]
    assert asked_fields(job(spec={"script": {"inline": "#!/bin/sh\n#SBATCH --hold\n"}}), None) == {}


@pytest.mark.parametrize(
    ("asked", "granted", "words"),
    [
        ({"partition": "normal"}, {"partition": "long"}, ("partition long instead of normal",)),
        ({"partition": "a,b"}, {"partition": "b"}, ()),
        ({"account": "Physics"}, {"account": "physics"}, ()),
        ({"account": "a", "qos": "x"}, {"account": "b", "qos": "y"}, ("account b instead of a", "QOS y instead of x")),
        ({"time_limit": "60"}, {"time_limit": "01:00:00"}, ()),
        ({"time_limit": "1-0"}, {"time_limit": "12:00:00"}, ("a time limit of 12:00:00 instead of 1-0",)),
        ({}, {"partition": "long", "time_limit": "01:00:00"}, ()),
    ],
)
def test_differences(asked: dict[str, str], granted: dict[str, str], words: tuple[str, ...]) -> None:
    """In Slurm's many ways of writing the same; nothing of what was left to the site."""
    assert differences(Allotment(**asked), Allotment(**granted)) == words


def test_a_rewritten_job_is_told_once() -> None:
    """Beside what was asked; an event when it is seen, and none for the same again."""
    asked = {**QUEUED, "asked": {"partition": "normal"}}
    step = seen(submitted(asked), pending(partition="long", qos="low"))
    assert step.status.granted == Allotment(partition="long", qos="low")
    assert [(n.reason, n.message) for n in step.notices] == [
        (EventReason.GRANTED_OTHERWISE, "The site gave partition long instead of normal.")
    ]
    told = submitted().model_copy(update={"status": step.status})
    ran = seen(told, view(start=NOW, partition="long", qos="low"))
    assert EventReason.GRANTED_OTHERWISE not in {notice.reason for notice in ran.notices}


# ---- put back into the queue ----


def test_requeued() -> None:
    """Counted, told, and where it ran before is no longer shown; Slurm's own number wins."""
    running = after(submitted(), view(start=NOW - 60, node_list="n7", nodes=1))
    step = seen(running, pending())
    assert (step.status.phase, step.status.requeues) == (Phase.QUEUED, 1)
    assert (step.status.start_time, step.status.node_list, step.status.node_count) == (None, None, None)
    assert [notice.reason for notice in step.notices] == [EventReason.REQUEUED]
    back = running.model_copy(update={"status": step.status})
    again = after(back, view(start=NOW, node_list="n8"))
    assert again.status.requeues == 1
    ended = after(again, view("COMPLETED", Phase.SUCCEEDED, Reason.COMPLETED, exit_code=0, restarts=3))
    assert ended.status.requeues == 3


# ---- files ----


def test_the_node_is_put_into_paths() -> None:
    """As soon as it is known."""
    started = after(submitted(), view(start=NOW, node_list="n[07-09]"))
    assert started.status.files is not None
    assert started.status.files.stdout == "/x/a-n07.out"


# ---- what it used ----


def test_usage_is_written_once() -> None:
    """Some seconds after the end; then nothing any more."""
    ended = after(submitted(), COMPLETED)
    step = seen(ended, COMPLETED, consumed=Consumed(cpu_seconds=9, max_rss_bytes=1024))
    assert isinstance(step, WriteStatus)
    assert step.status.usage is not None
    assert step.status.usage.dump() == {"cpuSeconds": 9, "maxRssBytes": 1024}
    assert step.status.model_copy(update={"usage": None}) == ended.status
    settled = ended.model_copy(update={"status": step.status})
    assert seen(settled, COMPLETED, consumed=Consumed(cpu_seconds=9, max_rss_bytes=1024)) == Rest()


# ---- suspending what partly runs ----


def test_suspending_an_array_holds_what_waits() -> None:
    """Also while elements of it run; resuming lets them go."""
    partly = view(array=True, waiting_elements=True, elements=(Element(1, "RUNNING"), Element(2, "PENDING")))
    running = after(submitted(), partly)
    suspended = running.model_copy(update={"spec": running.spec.model_copy(update={"suspend": True})})
    about_to = suspended.model_copy(update={"status": seen(suspended, partly).status})
    assert seen(about_to, partly) == Hold("12")
    held = {**running.status.dump(), "submission": {**INTENT, "released": False}}
    assert seen(job(spec={"suspend": True}, status=held), partly).status.message.endswith("what waits of it is held.")
    assert seen(job(status=held), partly) == Release("12")


def test_what_runs_is_left_running() -> None:
    """A single job that runs is not held; the Job says so."""
    running = after(submitted(), view(start=NOW))
    suspended = running.model_copy(update={"spec": running.spec.model_copy(update={"suspend": True})})
    step = seen(suspended, view(start=NOW))
    assert step.status.message.endswith("It is left running: spec.suspend holds only what waits.")
    assert step.status.phase is Phase.RUNNING


# ---- arrays and heterogeneous jobs ----


def test_an_array_in_numbers() -> None:
    """By state, in the short form; those that failed one by one."""
    elements = [Element(n, "COMPLETED", 0, 0) for n in (0, 1, 2, 5)] + [
        Element(3, "FAILED", 7, 0),
        Element(4, "RUNNING"),
    ]
    status = merged(None, elements)
    assert status.dump() == {
        "total": 6,
        "states": [
            {"state": "COMPLETED", "count": 4, "elements": "0-2,5"},
            {"state": "FAILED", "count": 1, "elements": "3"},
            {"state": "RUNNING", "count": 1, "elements": "4"},
        ],
        "failures": [{"index": 3, "state": "FAILED", "exitCode": 7, "signal": 0}],
    }


def test_what_the_queue_forgets_is_kept() -> None:
    """Ended ones as they ended; what left unseen is marked until accounting says what became of it."""
    first = merged(
        None, [Element(0, "COMPLETED"), Element(1, "FAILED", 3, 0), Element(2, "RUNNING"), Element(3, "PENDING")]
    )
    second = merged(first, [Element(3, "RUNNING")])
    assert {s.state: s.elements for s in second.states} == {
        "COMPLETED": "0",
        "FAILED": "1",
        FORGOTTEN: "2",
        "RUNNING": "3",
    }
    assert [failure.index for failure in second.failures] == [1]
    last = merged(second, [Element(n, "COMPLETED", 0, 0) for n in range(4)])
    assert {s.state: s.count for s in last.states} == {"COMPLETED": 4}
    assert last.failures == []


def test_large_arrays_fit() -> None:
    """Ten thousand elements in alternating states: bounded text, right numbers, also after it was cut."""
    elements = [Element(n, "COMPLETED" if n % 2 else "RUNNING") for n in range(10_000)]
    status = merged(None, elements)
    assert all(len(states.elements) <= 2048 and states.elements.endswith("…") for states in status.states)
    assert {s.state: s.count for s in status.states} == {"COMPLETED": 5000, "RUNNING": 5000}
    later = merged(status, [element for element in elements if element.state == "RUNNING"])
    assert {s.state: s.count for s in later.states} == {"COMPLETED": 5000, "RUNNING": 5000}
    assert len(merged(None, [Element(n, "FAILED", 1, 0) for n in range(500)]).failures) == 64


@given(st.sets(st.integers(0, 3000), max_size=200))
def test_ranges_can_be_read_back(numbers: set[int]) -> None:
    """The short form says the same numbers."""
    assert set(indexes(",".join(ranges(numbers)))) == numbers


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["PENDING", "RUNNING", "COMPLETED", "FAILED"]))))
)
def test_no_element_is_lost(looks: list[list[tuple[int, str]]]) -> None:
    """However often it is looked at: each element that was ever shown is in exactly one state."""
    status: ArrayStatus | None = None
    known: set[int] = set()
    for look in looks:
        shown = dict(look)
        known |= set(shown)
        status = merged(status, [Element(number, state) for number, state in sorted(shown.items())])
        listed = [number for states in status.states for number in indexes(states.elements)]
        assert sorted(listed) == sorted(known)
        assert status.total == sum(states.count for states in status.states) == len(known)


def test_heterogeneous_jobs_are_shown_by_component() -> None:
    """Tracked as one, with what each component does."""
    parts = (Component(0, "RUNNING", "n1"), Component(1, "RUNNING", "n[2-3]"))
    told = after(submitted(), view(components=parts, start=NOW))
    assert [part.dump() for part in told.status.components] == [
        {"offset": 0, "state": "RUNNING", "nodeList": "n1"},
        {"offset": 1, "state": "RUNNING", "nodeList": "n[2-3]"},
    ]


def test_pending_stays_as_it_was() -> None:
    """The plain views of before are written as before."""
    assert isinstance(seen(submitted(), PENDING), WriteStatus)
