"""Every name that more than one part must agree on. Nothing else spells them.

Source: the table of well-known names; measured reasons stand in docs/decisions/.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Final

GROUP: Final = "hpc.goldcrest.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "goldcrest"

PREFIX: Final = f"{GROUP}/"
FINALIZER: Final = PREFIX + "cleanup"  # ours alone; kopf's is not used

# Labels. Unix user names are not always label values, so there is no label for them.
LABEL_DIALECT: Final = PREFIX + "dialect"  # which REST dialect made the resource, e.g. firecrest-v1
LABEL_SHARD: Final = PREFIX + "shard"  # which operator shard reconciles it
LABEL_OF_CALLERS_PREFIX: Final = f"label.{GROUP}/"  # labels that REST callers give; nothing is decided by them

# Annotations.
ANNOTATION_GRANT: Final = PREFIX + "grant"  # JWS of delegation: REST (T6)
ANNOTATION_ACTION_GRANT: Final = PREFIX + "action-grant"  # JWS of delegation: one change of a mutable field (T6)
ANNOTATION_STAMP: Final = PREFIX + "stamp"  # JWS of admission: Kubernetes users (T7)
ANNOTATION_TRACEPARENT: Final = PREFIX + "traceparent"  # W3C trace context of the request
ANNOTATION_BODY_SHA256: Final = PREFIX + "body-sha256"  # digest of the request body: Idempotency-Key
ANNOTATION_READ_AT: Final = PREFIX + "read-at"  # of a Task: when REST showed its result first; the gateway writes it
ANNOTATION_GATEWAY: Final = PREFIX + "gateway"  # of a System: URL of the gateway, for kubectl-hpc
ANNOTATION_PAUSED: Final = PREFIX + "paused"  # "true": the operator leaves it alone
ANNOTATION_RECONCILE: Final = PREFIX + "reconcile-requested-at"  # any change: look again now

# Spec fields that may change after creation; all others are frozen (CEL) and signed (T6).
MUTABLE_SPEC_FIELDS: Final = ("suspend", "cancel", "deletionPolicy", "ttlSecondsAfterFinished")
# Spec fields that admission writes; they are not part of the signed digest.
STAMPED_SPEC_FIELDS: Final = ("requestedBy", "scriptSha256")

ACCOUNTS_RESOURCE: Final = "hpcaccounts"  # SubjectAccessReview: <system>:<user> (T7)
WILDCARD_CANARY: Final = "wildcard-canary"  # who may use this holds a wildcard and was not given an account

NAMESPACE: Final = "goldcrest"  # Goldcrest's own namespace
SERVICE_ACCOUNT_API: Final = "goldcrest-api"
SERVICE_ACCOUNT_OPERATOR: Final = "goldcrest-operator"
SERVICE_ACCOUNT_DELEGATION: Final = "goldcrest-delegation"
SERVICE_ACCOUNT_ADMISSION: Final = "goldcrest-admission"
DELEGATION_AUDIENCE: Final = "goldcrest-delegation"  # of the projected tokens shown to delegation

TASKS_OF_USER: Final = 200  # Tasks of one Unix user that are there at once, per namespace: etcd is no database
QUERY_SECONDS: Final = 3600  # after its end a Task that only asked goes at the latest
QUERY_READ_SECONDS: Final = 600  # after its result was read it goes

LEASE_DURATION_SECONDS: Final = 15
LEASE_RENEW_DEADLINE_SECONDS: Final = 10
LEASE_RETRY_SECONDS: Final = 2

OPA_ADMISSION: Final = "goldcrest/admission/decision"
OPA_SIGNING: Final = "goldcrest/signing/decision"
OPA_PROBLEMS: Final = "goldcrest_check/problems"  # what is wrong with the site's data
OPA_BLOCKED: Final = "goldcrest/blocklist/decision"  # the names in data.goldcrest.blocked

PORT_API: Final = 8080
PORT_DELEGATION: Final = 8443
PORT_ADMISSION: Final = 9443
PORT_METRICS: Final = 9090
PORT_HEALTH: Final = 8081


class Kind(StrEnum):
    """Kinds of this group; the plural is the kind in lower case with an s."""

    JOB = "Job"
    TASK = "Task"
    TASK_RESULT = "TaskResult"
    SYSTEM = "System"

    @property
    def plural(self) -> str:
        return self.value.lower() + "s"

    @property
    def short(self) -> str:
        """What kubectl and our sentences call it: ``gjob``, ``gtask``."""
        return _SHORT[self]


_SHORT: Final = {Kind.JOB: "gjob", Kind.TASK: "gtask", Kind.TASK_RESULT: "gresult", Kind.SYSTEM: "gsys"}


class Phase(StrEnum):
    """``status.phase``: one word for people; programs read conditions."""

    PENDING = "Pending"
    SUSPENDED = "Suspended"
    SUBMITTING = "Submitting"
    QUEUED = "Queued"
    RUNNING = "Running"
    COMPLETING = "Completing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def finished(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


class ConditionType(StrEnum):
    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"  # what `kubectl wait` needs to return on failure too
    SUSPENDED = "Suspended"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class Reason(StrEnum):
    """Reasons of conditions: constants that programs may compare."""

    ACCEPTED = "Accepted"
    WAITING_FOR_DEPENDENCY = "WaitingForDependency"
    DEPENDENCY_FAILED = "DependencyFailed"
    SCRIPT_CHANGED = "ScriptChanged"  # the ConfigMap holds other bytes than when the gjob was made
    SUSPENDED = "Suspended"
    SUBMITTING = "Submitting"
    QUEUED = "Queued"
    RUNNING = "Running"
    COMPLETED = "Completed"
    NON_ZERO_EXIT = "NonZeroExit"
    TIMED_OUT = "TimedOut"
    OUT_OF_MEMORY = "OutOfMemory"
    NODE_FAILED = "NodeFailed"
    PREEMPTED = "Preempted"
    CANCELLED = "Cancelled"
    REJECTED_BY_SCHEDULER = "RejectedByScheduler"
    REJECTED_FOR_NOW = (
        "RejectedForNow"  # by the scheduler, for what passes: submitted again unchanged it may be accepted
    )
    REJECTED_BY_SITE = "RejectedBySite"
    POLICY_DENIED = "PolicyDenied"
    BLOCKED = "Blocked"  # by an administrator; it goes on by itself when that is lifted
    POLICY_UNAVAILABLE = "PolicyUnavailable"
    DENIED_FOR_NOW = "DeniedForNow"  # e.g. a maintenance window: it goes on by itself
    DELEGATION_UNAVAILABLE = "DelegationUnavailable"
    SYSTEM_UNREACHABLE = "SystemUnreachable"
    CONNECTION_REFUSED = "ConnectionRefused"  # by every login host: nothing listens there
    LOGIN_DENIED = "LoginDenied"  # the login hosts answer, and keep this account out
    SCHEDULER_UNAVAILABLE = "SchedulerUnavailable"
    SUBMISSION_AMBIGUOUS = "SubmissionAmbiguous"


class EventReason(StrEnum):
    """Reasons of Kubernetes events, in the past tense."""

    SUBMITTED = "Submitted"
    ADOPTED = "Adopted"
    STARTED = "Started"
    REQUEUED = "Requeued"
    GRANTED_OTHERWISE = (
        "GrantedOtherwise"  # the site gave another account, partition, QOS or time limit than was asked for
    )
    OVERRIDDEN = "Overridden"  # lines of the script do not count, because fields of the spec say something else
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    BLOCKED = "Blocked"
    DELAYED = "Delayed"  # something that is needed does not answer; it goes on by itself
    DOUBLE_CANCELLED = "DoubleCancelled"  # the sweep of T10.5
    CLEANUP_ABANDONED = "CleanupAbandoned"
    UNCLAIMED = "Unclaimed"  # of a System: jobs in its queue that were submitted from here, and have no Job


class Via(StrEnum):
    """``spec.requestedBy.via``: which door a request came through."""

    GRANT = "Grant"
    KUBERNETES = "Kubernetes"


def service_account_user(name: str, namespace: str = NAMESPACE) -> str:
    """The Kubernetes user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def lease_name(shard: str) -> str:
    return f"goldcrest-operator-{shard}"


def namespace_of_user(user: str) -> str:
    """Namespace of REST-made resources of a Unix user, when policy data names no other: ``hpc-<slug>-<6 hex>``.

    The digest keeps users apart whose names give the same slug.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", user.lower()).strip("-")[:40].strip("-") or "user"
    return f"hpc-{slug}-{hashlib.sha256(user.encode()).hexdigest()[:6]}"


REST_NAME_PREFIX: Final = "r-"
TASK_ID_PATTERN: Final = re.compile(r"[0-9a-f]{32}")


def rest_name(task_id: str) -> str:
    """Name of a resource made through REST; the task id is 32 lower-case hex digits (contract 7.4, defect 33)."""
    return REST_NAME_PREFIX + task_id


def is_rest_name(name: str) -> bool:
    """Whether it has the form that :func:`rest_name` gives."""
    return name.startswith(REST_NAME_PREFIX) and TASK_ID_PATTERN.fullmatch(name[len(REST_NAME_PREFIX) :]) is not None


def task_id_of(name: str, uid: str, *, via: str | None) -> str:
    """Task id under which REST shows a resource: from the name of one made through REST, else the uid without hyphens.

    Args:
        via: ``spec.requestedBy.via``; a name of that form counts with ``Grant`` only, else anybody could take a task over.
    """
    if via == Via.GRANT and is_rest_name(name):
        return name[len(REST_NAME_PREFIX) :]
    return uid.replace("-", "")


def submission_token(cluster_id: str, submission_id: str) -> str:
    """Slurm comment that marks a submission (T10).

    Args:
        cluster_id: uid of the namespace kube-system.
        submission_id: ``jti`` of the grant, or the resource's uid; hyphens are dropped.
    """
    return f"goldcrest:{cluster_id.replace('-', '')[:8]}:{submission_id.replace('-', '')}"


def token_directory(token: str) -> str:
    """The token as one path component: hyphens for colons, which would break ``PATH``-like variables in scripts."""
    return token.replace(":", "-")
