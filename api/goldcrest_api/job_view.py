"""A Job as the gateway keeps it: without script and environment, which can be 64 KiB each and are never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import orjson

from goldcrest.canonical import sha256_hex
from goldcrest.kube import Raw
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobStatus
from goldcrest.wellknown import ANNOTATION_BODY_SHA256, task_id_of
from goldcrest_api import labels


@dataclass(frozen=True, slots=True)
class JobView:
    """What REST answers are made of."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    created: str
    system: str
    run_as: str
    via: str | None
    cancel: bool
    body_sha256: str | None
    labels: Mapping[str, str]
    """Those that the caller gave."""
    job_id: str | None
    """``status.jobId``."""
    cancel_requested_at: str | None
    """``status.cancelRequestedAt``."""
    status_json: bytes = field(repr=False)
    """The status as JSON: as objects, those of 10 000 Jobs kept the garbage collector busy for 100 ms, and everybody waiting."""

    @classmethod
    def of(cls, raw: Raw) -> JobView:
        """Read the JSON of the API server.

        Raises:
            InvalidInput: when the stored status does not fit the model.
        """
        meta, spec = raw["metadata"], raw["spec"]
        status = parse_model(JobStatus, raw.get("status") or {}, what="status")
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            created=meta["creationTimestamp"],
            system=spec["system"],
            run_as=spec["runAs"],
            via=(spec.get("requestedBy") or {}).get("via"),
            cancel=bool(spec.get("cancel")),
            body_sha256=(meta.get("annotations") or {}).get(ANNOTATION_BODY_SHA256),
            labels=labels.of_resource(meta.get("labels")),
            job_id=status.job_id,
            cancel_requested_at=status.cancel_requested_at,
            status_json=orjson.dumps(raw.get("status") or {}),
        )

    @property
    def status(self) -> JobStatus:
        """Read when it is asked for; that of a job that is polled is at hand."""
        return _read_status(self.status_json)

    @property
    def task_id(self) -> str:
        """Under which REST shows the submission."""
        return task_id_of(self.name, self.uid, via=self.via)

    @property
    def cancel_task_id(self) -> str:
        """Under which REST shows the cancelling: derived, so that every gateway knows it without a store."""
        return sha256_hex(f"cancel:{self.uid}".encode())[:32]

    @property
    def cancel_requested(self) -> bool:
        """Somebody asked to cancel it, now or before (setting the field back has no effect)."""
        return self.cancel or self.cancel_requested_at is not None

    @property
    def has_cancel_task(self) -> bool:
        """Whether REST shows the cancelling as a task: of a job that the scheduler has."""
        return self.cancel_requested and self.job_id is not None


@lru_cache(maxsize=512)
def _read_status(status_json: bytes) -> JobStatus:
    return JobStatus.model_validate_json(status_json)
