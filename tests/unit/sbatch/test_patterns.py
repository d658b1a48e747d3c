"""File name patterns of sbatch(1), put in as far as they are known."""

from __future__ import annotations

import pytest

from goldcrest.sbatch.patterns import Facts, first_node, resolved

pytestmark = pytest.mark.unit

PLAIN = Facts(job_id="128", name="my job", user="alice", node="n7")
WAITING = Facts(job_id="128", name="my job", user="alice")
WHOLE = Facts(job_id="128", name="x", user="alice", array=True)
ELEMENT = Facts(job_id="128", name="x", user="alice", array=True, index=12, element_id="140", node="n1")


@pytest.mark.parametrize(
    ("facts", "pattern", "path"),
    [
        (PLAIN, "slurm-%j.out", "slurm-128.out"),
        (PLAIN, "job%4j.out", "job0128.out"),
        (PLAIN, "job%12j", "job0000000128"),  # a width above 10 is 10
        (PLAIN, "%x-%u-%N.%J", "my job-alice-n7.128"),
        (PLAIN, "%5N%3x", "n7my job"),  # no width for what is no number
        (PLAIN, "%A_%a", "128_4294967294"),
        (PLAIN, "%b%n%t", "400"),
        (PLAIN, "100%%-%j", "100%-128"),
        (PLAIN, "%%j", "%j"),
        (PLAIN, "%q%", "%q%"),
        (PLAIN, "a\\%j\\b", "a%jb"),  # a backslash: nothing is put in
        (PLAIN, "/abs/%s", "/abs/%s"),
        (PLAIN, "", ""),
        (WAITING, "%j-%N-%%", "128-%N-%%"),
        (WHOLE, "slurm-%A_%a.out", "slurm-128_%a.out"),
        (WHOLE, "%j", "%j"),
        (WHOLE, "%%-%a", "%%-%a"),
        (ELEMENT, "slurm-%A_%3a.out", "slurm-128_012.out"),
        (ELEMENT, "%j-%b", "140-2"),
    ],
)
def test_patterns(facts: Facts, pattern: str, path: str) -> None:
    """As sbatch puts them in; a place that is not known yet stays."""
    assert resolved(pattern, facts) == path


def test_twice_is_once() -> None:
    """What was put in before the node was known ends as what is put in at once."""
    for pattern in ("%j-%N-%%.out", "%%N%N", "%N%%j"):
        once = resolved(pattern, PLAIN)
        assert resolved(resolved(pattern, WAITING), PLAIN) == once
    assert resolved(None, PLAIN) is None


@pytest.mark.parametrize(
    ("nodes", "node"),
    [
        ("n1", "n1"),
        ("n[1-4,7]", "n1"),
        ("n[01-04].example.org", "n01"),
        ("a1,n[2-3]", "a1"),
        ("n[5,7]-ib,x", "n5-ib"),
        ("", None),
    ],
)
def test_first_node(nodes: str, node: str | None) -> None:
    """Where the batch script runs."""
    assert first_node(nodes) == node
