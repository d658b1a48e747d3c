"""The latest Jobs and Systems that the watch or our own writes brought, and which Jobs are to be followed in the scheduler."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from goldcrest.authorised import token_of
from goldcrest.errors import InvalidInput
from goldcrest.grants import parse_time
from goldcrest.kube import Raw
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Log
from goldcrest.wellknown import ANNOTATION_RECONCILE
from goldcrest_operator.reading import read_job

_log = Log(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A submitted Job that has not ended, as far as the tracker must know it."""

    uid: str
    namespace: str
    name: str
    system: str
    user: str
    job_id: str
    token: str
    array: bool
    requester: str = ""
    """User name of who asked for it."""
    since: float = 0.0
    """Epoch seconds at which its submission began; a job of its id that is much older is another."""


@dataclass(frozen=True, slots=True)
class Known:
    """A Job as it is kept: its JSON in one piece, for thousands of trees of dictionaries are what the garbage collector would have to look at
    again and again, and what is asked of it often. Whose fields are whose (managedFields) is left out: nothing here asks."""

    content: bytes
    version: str
    namespace: str
    name: str
    system: str
    user: str
    requester: str
    """User name; empty where nobody is noted."""
    job_id: str | None
    finished: bool
    asked_at: str | None
    """Annotation reconcile-requested-at."""
    token: str | None = None
    """None: it is not understood."""
    waits_for: tuple[str, ...] = ()
    """Names of gjobs, until it is submitted."""


class Store:
    """Jobs by uid, Systems by name. What it gives as raw JSON is not to be changed by anybody.

    Args:
        cluster_id: uid of the namespace kube-system; part of submission tokens.
        changed: is told of each Job that changed, by its system and user: what was asked of the scheduler before is old.
        asked: is told the uid of a Job whose annotation reconcile-requested-at is another one, whoever brought it: the watch has no news of what
            is known.
    """

    def __init__(
        self,
        *,
        cluster_id: str,
        changed: Callable[[str, str], None] = lambda _system, _user: None,
        asked: Callable[[str], None] = lambda _uid: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster_id = cluster_id
        self._changed = changed
        self._asked = asked
        self._clock = clock
        self._spec_since: dict[str, tuple[int, float]] = {}  # generation of a System, and when it was first seen
        self._jobs: dict[str, Known] = {}
        self._systems: dict[str, Raw] = {}
        self._specs: dict[str, SystemSpec | None] = {}
        self._followed: dict[str, Followed] = {}
        self._followed_by_lane: defaultdict[tuple[str, str], dict[str, Followed]] = defaultdict(dict)
        self._unfinished: defaultdict[str, set[str]] = defaultdict(set)
        self._uid_of_name: dict[tuple[str, str], str] = {}
        self._dependents: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._uid_of_token: dict[str, str] = {}

    def job(self, uid: str) -> Raw | None:
        known = self._jobs.get(uid)
        return orjson.loads(known.content) if known is not None else None

    def place_of(self, uid: str) -> Known | None:
        """What is asked of a Job often; costs nothing."""
        return self._jobs.get(uid)

    def job_versions(self) -> Iterator[tuple[str, str]]:
        """uid and resourceVersion of each."""
        return ((uid, known.version) for uid, known in self._jobs.items())

    def job_named(self, namespace: str, name: str) -> Raw | None:
        """The Job that has this name now, as far as it is known here."""
        uid = self._uid_of_name.get((namespace, name))
        return self.job(uid) if uid is not None else None

    def dependents(self, namespace: str, name: str) -> frozenset[str]:
        """uids of Jobs that wait for the gjob of this name before they are submitted."""
        return frozenset(self._dependents.get((namespace, name), ()))

    def system_of(self, uid: str) -> str | None:
        """Name of the System of a Job."""
        known = self._jobs.get(uid)
        return known.system if known is not None else None

    def put_job(self, raw: Raw) -> bool:
        """Keep it, unless a later version is known; whether it was kept."""
        uid = raw["metadata"]["uid"]
        known = self._jobs.get(uid)
        if known is not None and not is_later(raw["metadata"]["resourceVersion"], than=known.version):
            return False
        if known is not None:
            self._wait_no_more(uid, known)
        try:
            job = read_job(raw)
        except InvalidInput as error:
            _log.warning("job.invalid", uid=uid, message=error.message)
            now = self._jobs[uid] = _known(raw)
            self._uid_of_name[now.namespace, now.name] = uid
            return True
        token = token_of(job, cluster_id=self._cluster_id)
        now = self._jobs[uid] = _known(raw, job=job, token=token)
        self._uid_of_name[now.namespace, now.name] = uid
        self._uid_of_token[token] = uid
        for name in now.waits_for:
            self._dependents[now.namespace, name].add(uid)
        (self._unfinished[now.system].discard if now.finished else self._unfinished[now.system].add)(uid)
        self._follow(uid, None if now.finished or now.job_id is None else followed_of(job, now.job_id, token=token))
        self._changed(now.system, now.user)
        if known is not None and known.asked_at != now.asked_at:
            self._asked(uid)
        return True

    def update_job(self, raw: Raw) -> bool:
        """Keep what was read or written by ourselves: as :meth:`put_job`, but of a Job that is known. The watch may have told of its end before
        our own answer of it came, and nobody would tell again.
        """
        return raw["metadata"]["uid"] in self._jobs and self.put_job(raw)

    def remove_job(self, uid: str) -> None:
        known = self._jobs.pop(uid, None)
        if known is None:
            return
        self._follow(uid, None)
        self._unfinished[known.system].discard(uid)
        if self._uid_of_name.get((known.namespace, known.name)) == uid:
            del self._uid_of_name[known.namespace, known.name]
        self._wait_no_more(uid, known)
        if known.token is not None and self._uid_of_token.get(known.token) == uid:  # two of a runKey have one token
            del self._uid_of_token[known.token]

    def system(self, name: str) -> Raw | None:
        return self._systems.get(name)

    def system_uid(self, name: str) -> str:
        """Empty when it is not there."""
        return str(self._systems[name]["metadata"]["uid"]) if name in self._systems else ""

    def put_system(self, raw: Raw) -> bool:
        """Keep it, unless a later version is known; whether it was kept."""
        name = raw["metadata"]["name"]
        known = self._systems.get(name)
        if known is not None and known["metadata"]["uid"] == raw["metadata"]["uid"] and not is_newer(raw, than=known):
            return False
        self._systems[name] = raw
        try:
            self._specs[name] = parse_model(SystemSpec, raw.get("spec"), what=f"System {name}")
        except InvalidInput as error:
            _log.warning("system.invalid", system=name, message=error.message)
            self._specs[name] = None
        generation = raw["metadata"].get("generation", 0)
        if self._spec_since.get(name, (-1, 0.0))[0] != generation:
            self._spec_since[name] = (generation, self._clock())
        return True

    def system_unchanged_for(self, name: str) -> float:
        """Seconds since the present spec of a System was first seen; 0 for one that is not there."""
        return self._clock() - self._spec_since[name][1] if name in self._spec_since else 0.0

    def remove_system(self, name: str, uid: str) -> None:
        known = self._systems.get(name)
        if known is not None and known["metadata"]["uid"] == uid:
            del self._systems[name]
            self._specs.pop(name, None)
            self._spec_since.pop(name, None)

    def system_spec(self, name: str) -> SystemSpec | None:
        """Its spec; None when it is not there or does not fit the model."""
        return self._specs.get(name)

    @property
    def systems(self) -> tuple[str, ...]:
        return tuple(self._systems)

    @property
    def job_count(self) -> int:
        return len(self._jobs)

    def is_followed(self, uid: str) -> bool:
        return uid in self._followed

    def followed(self, system: str, user: str = "") -> Mapping[str, Followed]:
        """By uid: those of one user, or of all."""
        return self._followed_by_lane.get((system, user), {})

    @property
    def followed_count(self) -> int:
        return len(self._followed)

    def unfinished(self, system: str) -> frozenset[str]:
        """uids of the system's Jobs that have not ended."""
        return frozenset(self._unfinished[system])

    def unfinished_jobs(self) -> dict[str, Known]:
        """All Jobs that have not ended, by uid, of every system; those that are not understood are not among them."""
        return {uid: self._jobs[uid] for uids in self._unfinished.values() for uid in uids}

    def uid_of(self, token: str) -> str | None:
        """Whose submission carries this token, also long after its end."""
        return self._uid_of_token.get(token)

    def _wait_no_more(self, uid: str, known: Known) -> None:
        for name in known.waits_for:
            place = known.namespace, name
            self._dependents[place].discard(uid)
            if not self._dependents[place]:
                del self._dependents[place]

    def _follow(self, uid: str, now: Followed | None) -> None:
        before = self._followed.get(uid)
        if before == now:
            return
        if before is not None:
            del self._followed[uid]
            for user in ("", before.user):
                jobs = self._followed_by_lane[before.system, user]
                jobs.pop(uid, None)
                if not jobs:
                    del self._followed_by_lane[before.system, user]
        if now is not None:
            self._followed[uid] = now
            for user in ("", now.user):
                self._followed_by_lane[now.system, user][uid] = now


def _known(raw: Raw, *, job: JobResource | None = None, token: str | None = None) -> Known:
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    kept = {**raw, "metadata": {name: value for name, value in meta.items() if name != "managedFields"}}
    job_id, finished = status.get("jobId"), False
    waits_for: tuple[str, ...] = ()
    if job is not None:
        job_id = job.status.job_id
        finished = job.status.phase is not None and job.status.phase.finished
        if not finished and job_id is None:
            waits_for = tuple(sorted({other.name for other in job.spec.dependencies if other.name is not None}))
    return Known(
        content=bytes(memoryview(orjson.dumps(kept))),  # a copy: its own buffer is ten times as large as what is in it
        version=meta["resourceVersion"],
        namespace=meta["namespace"],
        name=meta["name"],
        system=sys.intern(str(spec.get("system"))),
        user=sys.intern(str(spec.get("runAs"))),
        requester=sys.intern(str((spec.get("requestedBy") or {}).get("username", ""))),
        job_id=job_id,
        finished=finished,
        asked_at=(meta.get("annotations") or {}).get(ANNOTATION_RECONCILE),
        token=token,
        waits_for=waits_for,
    )


def followed_of(job: JobResource, job_id: str, *, token: str) -> Followed:
    """What the tracker must know of a submitted Job."""
    return Followed(
        uid=job.uid,
        namespace=job.namespace,
        name=job.name,
        system=job.spec.system,
        user=job.spec.run_as,
        job_id=job_id,
        token=token,
        array=job.spec.array is not None,
        requester=job.spec.requested_by.username if job.spec.requested_by is not None else "",
        since=_since(job),
    )


def _since(job: JobResource) -> float:
    """An adopted run is as old as it is."""
    if job.status.submission is None or job.spec.run_key is not None:
        return 0.0
    return parse_time(min(job.created, job.status.submission.time))


def is_newer(raw: Raw, *, than: Raw) -> bool:
    """Whether it is a later version."""
    return is_later(raw["metadata"]["resourceVersion"], than=than["metadata"]["resourceVersion"])


def is_later(version: str, *, than: str) -> bool:
    """By resourceVersion: numbers that grow, in every API server there is (KEP-5504 makes it a promise)."""
    try:
        return int(version) > int(than)
    except ValueError:
        return version != than
