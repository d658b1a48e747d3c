"""What a decision about a Job rests on, beside the Job itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from goldcrest.models.job import JobFiles, JobResource
from goldcrest.models.job_details import Allotment
from goldcrest.wellknown import Reason
from goldcrest_operator.scheduler.interface import Consumed, JobView, Submitted


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is needed does not answer, or does not let us: shown, and tried again by itself."""

    reason: Reason
    message: str
    unreachable: bool = False
    """The system does not answer: Ready is Unknown."""
    stalled: bool = False
    """A person must do something before it can go on; it is tried again seldom."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final no to the submission, in the words of who said it."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What *this process* did for a Job and learned by that; it is gone after a restart, and nothing is lost with it.

    Written by the one worker that holds the Job.
    """

    clean: bool = False
    """No sbatch has an unknown outcome: this process wrote the intent, and knows what came of every sbatch since."""
    found: tuple[str, ...] | None = None
    """Ids that carry the token, lowest first, when queue and accounting were asked; None: not asked."""
    found_at: float | None = None
    """Epoch seconds at which that was asked."""
    unclear_until: float | None = None
    """Epoch seconds until which an sbatch whose end nobody saw may take effect, until doubles of it were swept; None: there is none, or
    only the stored intent says so."""
    assumed: bool = False
    """That time is not of an sbatch that this process ran, but of one that its predecessor may have died in."""
    nothing_taken: bool = False
    """Whatever was begun with the token is known to have taken nothing: a node that remembers it may be asked again."""
    repeated: bool = False
    """The node remembers an sbatch with the token: there is no other before it is certain that nothing came of that."""
    submitted: Submitted | None = None
    """What sbatch answered, until it is stored."""
    refusal: Refusal | None = None
    trouble: Trouble | None = None
    """Of the last effect of this pass."""
    released: bool | None = None
    """Whether the job may start, as far as this process made it so."""
    files: JobFiles | None = None
    """What the scheduler said of the files of a job that was found again."""
    granted: Allotment | None = None
    """And of what it was given."""
    files_asked: bool = False
    hold_refused_at_generation: int | None = None
    """Generation of the spec for which holding came too late: it is not tried again for the same wish."""
    cancelled_at: float | None = None
    """Epoch seconds of the last cancel that the scheduler accepted."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the tracker saw of a Job last. Written by the tracker."""

    view: JobView | None = None
    strays: tuple[str, ...] = ()
    """Ids of other jobs with this Job's token."""
    trouble: Trouble | None = None
    consumed: Consumed | None = None
    """What it used, some seconds after its end."""


@dataclass(frozen=True, slots=True)
class Source:
    """The script that a Job does not hold itself: what its ConfigMap holds now, or why that is not known or not right."""

    script: bytes | None = None
    trouble: Trouble | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that was observed; ``now`` is epoch seconds."""

    now: float
    attempt: Attempt = field(default_factory=Attempt)
    sighting: Sighting = field(default_factory=Sighting)
    blocked: str = ""
    """Why the Job's requester or user is blocked, as of the last look at the list; empty when they are not."""
    source: Source = field(default_factory=Source)
    related: Mapping[str, JobResource] = field(default_factory=dict)
    """The gjobs that this one depends on, by name, and those that these depend on in turn as long as they wait."""
