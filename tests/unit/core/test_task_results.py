"""Results of Tasks: what one side writes the other reads, whatever Slurm and its users put into it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest import task_results
from goldcrest.commands.listings import HistoryRow, JobDetail, ListedJob
from goldcrest.commands.records import NodeRow, PartitionRow, ReservationRow
from goldcrest.errors import InvalidInput
from goldcrest.task_results import Accounting, Cancelled, Jobs, Nodes, Partitions, Reservations, Result, decode, encode

pytestmark = pytest.mark.unit

_ROWS = (ListedJob, JobDetail, HistoryRow, NodeRow, PartitionRow, ReservationRow)


def rows(kind: type[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.from_type(kind), max_size=3)


def _results() -> st.SearchStrategy[Result]:
    listed = rows(ListedJob).map(lambda jobs: list({job.job_id: job for job in jobs}.values()))
    plain = listed.map(lambda jobs: Jobs(jobs=jobs, total=len(jobs)))
    detailed = st.builds(
        lambda jobs, detail: Jobs(jobs=jobs, total=9, details={job.job_id: _of(detail, job.job_id) for job in jobs}),
        listed,
        st.from_type(JobDetail),
    )
    return st.one_of(
        plain,
        detailed,
        rows(HistoryRow).map(lambda found: Accounting(rows=found, total=len(found))),
        rows(NodeRow).map(lambda found: Nodes(rows=found)),
        rows(PartitionRow).map(lambda found: Partitions(rows=found)),
        rows(ReservationRow).map(lambda found: Reservations(rows=found)),
        st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: Cancelled(text=text)),
    )


def _of(detail: JobDetail, job_id: str) -> JobDetail:
    return JobDetail(**{**{name: getattr(detail, name) for name in JobDetail.__slots__}, "job_id": job_id})


st.register_type_strategy(str, st.text(st.characters(exclude_categories=["Cs"]), max_size=8))


@given(_results())
def test_round_trip(result: Result) -> None:
    """The same comes back, and the same bytes are made of it."""
    content = encode(result)
    assert decode(content) == result
    assert encode(decode(content)) == content


def test_keys_are_those_of_kubernetes() -> None:
    """camelCase, and nothing that was not said."""
    node = NodeRow(name="n1", active_features=None, partitions=("a",), state=("IDLE",))
    assert json.loads(encode(Nodes(rows=[node]))) == {"nodes": [{"name": "n1", "partitions": ["a"], "state": ["IDLE"]}]}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b"{}", b'{"jobs": [], "total": "1"}', b'{"jobs": [7], "total": 1}']
)
def test_what_is_no_result(content: bytes) -> None:
    """Another release wrote it: said, not guessed."""
    with pytest.raises(InvalidInput):
        decode(content)


def test_a_newer_release_may_say_more() -> None:
    """Keys that are not known are left out."""
    assert decode(b'{"nodes": [{"name": "n1", "gpus": 4}], "more": 1}') == Nodes(
        rows=[NodeRow(name="n1", active_features=None, partitions=None, state=None)]
    )
    assert task_results.encode(Cancelled(text="x")) == b'{"cancelled":"x"}'
