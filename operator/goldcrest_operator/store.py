"""The latest Jobs and Systems that the watch or our own writes brought, and which Jobs are to be followed in the scheduler."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from goldcrest.authorised import token_of
from goldcrest.errors import InvalidInput
from goldcrest.grants import parse_time
from goldcrest.kube import Raw
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Log
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


class Store:
    """Jobs by uid, Systems by name. Objects are raw JSON and are not to be changed by anybody.

    Args:
        cluster_id: uid of the namespace kube-system; part of submission tokens.
        changed: is told of each Job that changed, by its system and user: what was asked of the scheduler before is old.
    """

    def __init__(
        self,
        *,
        cluster_id: str,
        changed: Callable[[str, str], None] = lambda _system, _user: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster_id = cluster_id
        self._changed = changed
        self._clock = clock
        self._spec_since: dict[str, tuple[int, float]] = {}  # generation of a System, and when it was first seen
        self._jobs: dict[str, Raw] = {}
        self._systems: dict[str, Raw] = {}
        self._followed: dict[str, Followed] = {}
        self._followed_by_lane: defaultdict[tuple[str, str], dict[str, Followed]] = defaultdict(dict)
        self._unfinished: defaultdict[str, set[str]] = defaultdict(set)
        self._uid_of_name: dict[tuple[str, str], str] = {}
        self._dependents: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._uid_of_token: dict[str, str] = {}
        self._token_of_uid: dict[str, str] = {}

    def job(self, uid: str) -> Raw | None:
        return self._jobs.get(uid)

    def job_named(self, namespace: str, name: str) -> Raw | None:
        """The Job that has this name now, as far as it is known here."""
        uid = self._uid_of_name.get((namespace, name))
        return self._jobs.get(uid) if uid is not None else None

    def dependents(self, namespace: str, name: str) -> frozenset[str]:
        """uids of Jobs that wait for the gjob of this name before they are submitted."""
        return frozenset(self._dependents.get((namespace, name), ()))

    def system_of(self, uid: str) -> str | None:
        """Name of the System of a Job."""
        raw = self._jobs.get(uid)
        return str(raw["spec"]["system"]) if raw is not None else None

    def put_job(self, raw: Raw) -> bool:
        """Keep it, unless a later version is known; whether it was kept."""
        uid = raw["metadata"]["uid"]
        known = self._jobs.get(uid)
        if known is not None and not is_newer(raw, than=known):
            return False
        self._jobs[uid] = raw
        self._index(uid, raw)
        return True

    def remove_job(self, uid: str) -> None:
        raw = self._jobs.pop(uid, None)
        if raw is None:
            return
        self._unfollow(uid)
        self._unfinished[str(raw.get("spec", {}).get("system"))].discard(uid)
        place = raw["metadata"]["namespace"], raw["metadata"]["name"]
        if self._uid_of_name.get(place) == uid:
            del self._uid_of_name[place]
        self._wait_no_more(uid, raw)
        token = self._token_of_uid.pop(uid, None)
        if token is not None and self._uid_of_token.get(token) == uid:  # two with the same runKey have one token
            del self._uid_of_token[token]

    def system(self, name: str) -> Raw | None:
        return self._systems.get(name)

    def put_system(self, raw: Raw) -> bool:
        """Keep it, unless a later version is known; whether it was kept."""
        name = raw["metadata"]["name"]
        known = self._systems.get(name)
        if known is not None and known["metadata"]["uid"] == raw["metadata"]["uid"] and not is_newer(raw, than=known):
            return False
        self._systems[name] = raw
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
            self._spec_since.pop(name, None)

    def system_spec(self, name: str) -> SystemSpec | None:
        """Its spec; None when it is not there or does not fit the model."""
        raw = self._systems.get(name)
        if raw is None:
            return None
        try:
            return parse_model(SystemSpec, raw.get("spec"), what=f"System {name}")
        except InvalidInput as error:
            _log.warning("system.invalid", system=name, message=error.message)
            return None

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

    def unfinished_jobs(self) -> list[Raw]:
        """All Jobs that have not ended, of every system; those that are not understood are not among them."""
        return [self._jobs[uid] for uids in self._unfinished.values() for uid in uids]

    def uid_of(self, token: str) -> str | None:
        """Whose submission carries this token, also long after its end."""
        return self._uid_of_token.get(token)

    def _wait_no_more(self, uid: str, raw: Raw) -> None:
        for dependency in raw.get("spec", {}).get("dependencies") or ():
            place = raw["metadata"]["namespace"], str(dependency.get("name"))
            if place in self._dependents:
                self._dependents[place].discard(uid)
                if not self._dependents[place]:
                    del self._dependents[place]

    def _index(self, uid: str, raw: Raw) -> None:
        self._uid_of_name[raw["metadata"]["namespace"], raw["metadata"]["name"]] = uid
        try:
            job = read_job(raw)
        except InvalidInput as error:
            _log.warning("job.invalid", uid=uid, message=error.message)
            return
        self._changed(job.spec.system, job.spec.run_as)
        token = token_of(job, cluster_id=self._cluster_id)
        self._uid_of_token[token] = uid
        self._token_of_uid[uid] = token
        system, finished = job.spec.system, job.status.phase is not None and job.status.phase.finished
        (self._unfinished[system].discard if finished else self._unfinished[system].add)(uid)
        if finished or job.status.job_id is not None:
            self._wait_no_more(uid, raw)
        else:
            for dependency in job.spec.dependencies:
                if dependency.name is not None:
                    self._dependents[job.namespace, dependency.name].add(uid)
        self._unfollow(uid)
        if finished or job.status.job_id is None:
            return
        followed = followed_of(job, job.status.job_id, token=token)
        self._followed[uid] = followed
        for user in ("", followed.user):
            self._followed_by_lane[system, user][uid] = followed

    def _unfollow(self, uid: str) -> None:
        followed = self._followed.pop(uid, None)
        if followed is None:
            return
        for lane in ((followed.system, ""), (followed.system, followed.user)):
            jobs = self._followed_by_lane[lane]
            jobs.pop(uid, None)
            if not jobs:
                del self._followed_by_lane[lane]


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
    """Whether it is a later version. By resourceVersion: numbers that grow, in every API server there is (KEP-5504 makes it a promise)."""
    new, old = raw["metadata"]["resourceVersion"], than["metadata"]["resourceVersion"]
    try:
        return int(new) > int(old)
    except ValueError:
        return bool(new != old)
