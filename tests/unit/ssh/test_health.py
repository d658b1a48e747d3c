"""Choice of hosts and the circuit breaker, with a clock of the test's own."""

from __future__ import annotations

import pytest

from goldcrest.ssh.health import Breakers
from goldcrest.ssh.login import HostDown

pytestmark = pytest.mark.unit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(clock: Clock, *, chance: float = 0.0) -> Breakers[str]:
    return Breakers(first=1.0, most=30.0, clock=clock, chance=lambda: chance)


def test_healthy_hosts_keep_their_order(clock):
    """Without failures the administrator's order counts."""
    assert make(clock).choose(["a", "b", "c"]).candidates == ("a", "b", "c")


def test_a_failed_host_rests_and_comes_back_last(clock):
    """Open: not tried. Half open: tried after the others. After a success: in its place again."""
    breakers = make(clock)
    breakers.failed("a", HostDown("refused"))
    choice = breakers.choose(["a", "b"])
    assert choice.candidates == ("b",)
    assert [(key, failure.reason) for key, failure in choice.resting] == [("a", "refused")]
    clock.now += 1.01
    assert breakers.choose(["a", "b"]).candidates == ("b", "a")
    breakers.succeeded("a")
    assert breakers.choose(["a", "b"]).candidates == ("a", "b")


def test_the_pause_doubles_up_to_a_limit(clock):
    """1, 2, 4, … seconds and never more than the most."""
    breakers = make(clock)
    pauses = []
    for _ in range(8):
        breakers.failed("a", HostDown("refused"))
        failure = breakers.failure("a")
        assert failure is not None
        pauses.append(breakers.seconds_left(failure))
        clock.now = failure.retry_at
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_failures_of_one_moment_count_once(clock):
    """Ten users who find the same host dead at the same time do not make it rest for minutes."""
    breakers = make(clock)
    for _ in range(10):
        breakers.failed("a", HostDown("refused"))
    failure = breakers.failure("a")
    assert failure is not None
    assert failure.count == 1


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 1.0), (0.5, 1.25), (1.0, 1.5)])
def test_the_pause_has_jitter(clock, chance, seconds):
    """Up to half of the pause is added by chance."""
    breakers = make(clock, chance=chance)
    breakers.failed("a", HostDown("refused"))
    failure = breakers.failure("a")
    assert failure is not None
    assert breakers.seconds_left(failure) == seconds


def test_all_resting(clock):
    """When all hosts rest, none is tried and each says why."""
    breakers = make(clock)
    breakers.failed("a", HostDown("refused"))
    breakers.failed("b", HostDown("timed out"))
    choice = breakers.choose(["a", "b"])
    assert choice.candidates == ()
    assert [failure.reason for _, failure in choice.resting] == ["refused", "timed out"]
    assert breakers.open_count == 2


def test_old_failures_are_forgotten(clock):
    """What failed long ago is a host like any other."""
    breakers = make(clock)
    breakers.failed("a", HostDown("refused"))
    clock.now += 50
    breakers.forget(older_than=60)
    assert breakers.suspicious("a")
    clock.now += 12
    breakers.forget(older_than=60)
    assert not breakers.suspicious("a")
