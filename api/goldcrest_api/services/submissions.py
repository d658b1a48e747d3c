"""Submitting a batch job: a grant of delegation and a Job resource (T6). Everything after that is the operator's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NoReturn

from goldcrest.canonical import canonical, sha256_hex
from goldcrest.errors import Conflict, DeniedForNow, GoldcrestError, InvalidInput, NotFound
from goldcrest.faults import NO_FAULTS, FaultPoints
from goldcrest.kube import Kube
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobSpec
from goldcrest.telemetry import Log, Trace
from goldcrest.wellknown import (
    ANNOTATION_BODY_SHA256,
    ANNOTATION_GRANT,
    ANNOTATION_TRACEPARENT,
    API_VERSION,
    LABEL_DIALECT,
    Kind,
    rest_name,
    submission_token,
)
from goldcrest_api.caller import Caller
from goldcrest_api.job_cache import JobCache
from goldcrest_api.job_view import JobView
from goldcrest_api.labels import stored
from goldcrest_api.names import random_task_id, task_id_of_key
from goldcrest_api.ports import Grants
from goldcrest_api.services.access import AccessProbe
from goldcrest_api.services.creation import Creator
from goldcrest_api.services.namespaces import Namespaces
from goldcrest_api.services.scripts import RemoteScript, ScriptStore, UploadedScript, held_in_spec
from goldcrest_api.system_cache import SystemView

_log = Log(__name__)


class Stage(Enum):
    """How far a submission came; dialects answer differently for each."""

    REPEAT = auto()  # looking for an earlier request with the same Idempotency-Key
    ACCESS = auto()  # may the user in, does the system answer
    READING = auto()  # the script on the system
    WRITING = auto()  # a large script, onto the system
    CREATION = auto()  # grant and resource


class SubmissionFailed(GoldcrestError):
    """No Job was made. ``cause`` says why, ``stage`` where."""

    code = "SubmissionFailed"

    def __init__(self, stage: Stage, cause: GoldcrestError) -> None:
        super().__init__(cause.message, code=cause.code)
        self.stage = stage
        self.cause = cause
        self.retryable = cause.retryable


class KeyReused(Conflict):
    """The Idempotency-Key was used before, for another request."""

    code = "KeyReused"


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for a batch job, as a dialect understood it.

    Attributes:
        route: method and path of the operation: the same idempotency key means something else elsewhere.
        dialect: value of the label that says which dialect made the resource.
    """

    system: SystemView
    script: UploadedScript | RemoteScript
    route: str
    dialect: str
    account: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None

    def digest(self) -> str:
        """Digest of what was asked for: equal for a repeated request, whatever its multipart boundary was."""
        if isinstance(self.script, UploadedScript):
            script = ["uploaded", self.script.file_name, sha256_hex(self.script.content)]
        else:
            script = ["path", self.script.path]
        asked = [self.route, self.system.name, script, self.account or "", dict(self.environment)]
        if self.labels:
            asked.append(dict(self.labels))
        return sha256_hex(canonical(asked))


class Submissions:
    """Makes Jobs.

    Args:
        ttl_seconds: how long a finished Job stays.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        jobs: JobCache,
        grants: Grants,
        access: AccessProbe,
        scripts: ScriptStore,
        namespaces: Namespaces,
        creator: Creator,
        ttl_seconds: int,
        faults: FaultPoints = NO_FAULTS,
    ) -> None:
        self._faults = faults
        self._kube = kube
        self._jobs = jobs
        self._grants = grants
        self._access = access
        self._scripts = scripts
        self._namespaces = namespaces
        self._creator = creator
        self._ttl_seconds = ttl_seconds
        self._cluster_id: str | None = None

    async def submit(self, submission: Submission, caller: Caller, trace: Trace) -> JobView:
        """Make the Job, or return the one that the same Idempotency-Key made before.

        Raises:
            KeyReused: the key belongs to another request.
            SubmissionFailed: nothing was made.
        """
        task_id = _task_id(submission, caller)
        namespace, name = self._namespaces.of(caller.user), rest_name(task_id)
        body_sha256 = submission.digest()
        if submission.idempotency_key is not None:
            earlier = await self._earlier(namespace, name)
            if earlier is not None:
                return _same(earlier, body_sha256)
        try:
            await self._access.check(submission.system, caller, trace)
        except DeniedForNow as error:
            # A maintenance window: the Job is made all the same if policy takes it, and waits for the end.
            _log.info("job.access_later", system=submission.system.name, user=caller.user, message=error.message)
        except GoldcrestError as error:
            _fail(Stage.ACCESS, error)
        fields = await self._script_fields(submission, task_id, caller, trace)
        spec = _spec(submission, caller, fields, self._ttl_seconds)
        try:
            parse_model(JobSpec, spec, what="the request")
            grant = await self._grants.grant(
                token=caller.token,
                route=caller.route,
                kind=Kind.JOB.value,
                namespace=namespace,
                name=name,
                spec=spec,
                trace=trace.header,
            )
            self._faults.point("after-grant", Kind.JOB.value)
            resource = {
                "apiVersion": API_VERSION,
                "kind": Kind.JOB.value,
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": {LABEL_DIALECT: submission.dialect, **stored(submission.labels)},
                    "annotations": {
                        ANNOTATION_GRANT: grant,
                        ANNOTATION_TRACEPARENT: trace.header,
                        ANNOTATION_BODY_SHA256: body_sha256,
                    },
                },
                "spec": spec,
            }
            view = self._jobs.learn(await self._creator.create(Kind.JOB, resource))
            self._faults.point("after-write", Kind.JOB.value)
        except GoldcrestError as error:
            _fail(Stage.CREATION, error)
        _log.info("job.made", namespace=namespace, name=name, system=view.system, user=caller.user)
        return _same(view, body_sha256)

    async def _earlier(self, namespace: str, name: str) -> JobView | None:
        known = self._jobs.by_name(namespace, name)
        if known is not None:
            return known
        try:
            return self._jobs.learn(await self._kube.get(Kind.JOB, name, namespace=namespace))
        except NotFound:
            return None
        except GoldcrestError as error:
            _fail(Stage.REPEAT, error)

    async def _script_fields(
        self, submission: Submission, task_id: str, caller: Caller, trace: Trace
    ) -> dict[str, Any]:
        match submission.script:
            case RemoteScript() as remote:
                try:
                    return await self._scripts.locate(remote, system=submission.system, caller=caller, trace=trace)
                except InvalidInput as error:  # what it says, not how it was read
                    _fail(Stage.CREATION, error)
                except GoldcrestError as error:
                    _fail(Stage.READING, error)
            case UploadedScript() as uploaded:
                held = held_in_spec(uploaded)
                if held is not None:
                    return {"script": held}
                try:
                    token = submission_token(await self._cluster(), task_id)
                    return await self._scripts.place(
                        uploaded, token=token, system=submission.system, caller=caller, trace=trace
                    )
                except Conflict as error:
                    raise KeyReused("the Idempotency-Key was used before, with another script") from error
                except InvalidInput as error:
                    _fail(Stage.CREATION, error)
                except GoldcrestError as error:
                    _fail(Stage.WRITING, error)

    async def _cluster(self) -> str:
        if self._cluster_id is None:
            self._cluster_id = await self._kube.cluster_id()
        return self._cluster_id


def _task_id(submission: Submission, caller: Caller) -> str:
    if submission.idempotency_key is None:
        return random_task_id()
    return task_id_of_key(
        issuer=caller.issuer, subject=caller.subject, route=submission.route, key=submission.idempotency_key
    )


def _spec(submission: Submission, caller: Caller, script_fields: dict[str, Any], ttl_seconds: int) -> dict[str, Any]:
    spec: dict[str, Any] = {
        **script_fields,  # below what the request says
        "system": submission.system.name,
        "runAs": caller.user,
        "ttlSecondsAfterFinished": ttl_seconds,
    }
    if submission.environment:
        spec["environment"] = dict(submission.environment)
    if submission.account is not None:
        spec["account"] = submission.account
    return spec


def _same(view: JobView, body_sha256: str) -> JobView:
    if view.body_sha256 != body_sha256:
        raise KeyReused("the Idempotency-Key was used before, for another request")
    return view


def _fail(stage: Stage, error: GoldcrestError) -> NoReturn:
    raise SubmissionFailed(stage, error) from error
