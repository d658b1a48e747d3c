"""What a basis (a token, a live resource) entitles to: the pure part of every decision to sign."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from goldcrest.authorised import observer_commands_allow
from goldcrest.blocked import BlockList
from goldcrest.canonical import Json
from goldcrest.commands import Submit
from goldcrest.commands.base import Command
from goldcrest.errors import Blocked, Denied
from goldcrest.identity import Identity
from goldcrest.policy.question import Door, Question, Subject, Trigger
from goldcrest.sbatch import resources
from goldcrest.wellknown import Kind
from goldcrest_delegation.requests import CertificateRequest, ResourceReference

_GATEWAY_OPERATIONS: Final = ("session", "sys.whoami")
_GATEWAY_PREFIXES: Final = ("fs.", "rsv.")


class Standing(Protocol):
    """On whose word something is asked, and what policy is asked about it."""

    @property
    def requester(self) -> str:
        """User name in the token, or in Kubernetes."""

    @property
    def origin(self) -> str:
        """uid of the resource, or id of the request."""

    @property
    def filter_path(self) -> str:
        """Path of ssh-filter on the system."""

    @property
    def resource(self) -> ResourceReference | None:
        """The resource, for the audit log."""

    def question(self, request: CertificateRequest) -> Question:
        """What policy is asked for this request.

        Raises:
            Denied: the request does not follow from this standing, whatever policy says.
        """


@dataclass(frozen=True, slots=True)
class TokenStanding:
    """A REST caller: may run operations on files and reservations as the Unix user that the token gives, on the issuer's systems (T8)."""

    identity: Identity
    origin: str
    filter_path: str
    resource: None = None

    @property
    def requester(self) -> str:
        return self.identity.username

    def question(self, request: CertificateRequest) -> Question:
        check_reach(self.identity, user=request.user, system=request.system)
        operation = request.operation
        if operation not in _GATEWAY_OPERATIONS and not operation.startswith(_GATEWAY_PREFIXES):
            raise Denied(f"{operation} is never signed for the gateway: it needs a resource")
        return Question(
            trigger=Trigger.REQUEST,
            subject=subject_of(self.identity, route=request.route),
            system=request.system,
            run_as=request.user,
            operation=operation,
            args=_arguments(request),
            payload=_payload(request),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStanding:
    """A live Job or Task: may run what follows from it, as the Unix user that it names.

    Args:
        blocked: why its requester or user is blocked; then ``commands`` are those that make less run, and all else is refused so.
    """

    resource: ResourceReference
    requester: str
    subject: Subject
    system: str
    run_as: str
    filter_path: str
    commands: tuple[Command, ...]
    trigger: Trigger
    wildcards: tuple[str, ...]
    blocked: str = ""

    @property
    def origin(self) -> str:
        return self.resource.uid

    def question(self, request: CertificateRequest) -> Question:
        what = f"{self.resource.kind.short} {self.resource.namespace}/{self.resource.name}"
        if request.system != self.system or request.user != self.run_as:
            raise Denied(f"{what} is of {self.run_as} on {self.system}, not of {request.user} on {request.system}")
        if self.blocked and (not self.commands or request.command not in (None, *self.commands)):
            raise Blocked(self.blocked)
        if not self.commands:
            raise Denied(f"nothing follows from {what} in its present state")
        if request.command is not None and request.command not in self.commands:
            raise Denied(f"{request.operation} with these arguments does not follow from {what} in its present state")
        return Question(
            trigger=self.trigger,
            subject=self.subject,
            system=self.system,
            run_as=self.run_as,
            operation=request.operation,
            kind=self.resource.kind.value,
            namespace=self.resource.namespace,
            name=self.resource.name,
            wildcards=self.wildcards,
            args=_arguments(request),
            payload=_payload(request),
            **_asked_of_scheduler(request.command),
        )


@dataclass(frozen=True, slots=True)
class ObserverStanding:
    """A System with an observer: may run a closed list of read-only queries as that account.

    Args:
        file_systems: paths that the System names, which may be looked at.
        public_queue: the System says that Slurm shows each job to everybody.
    """

    resource: ResourceReference
    observer: str | None
    filter_path: str
    cluster: str | None = None
    file_systems: frozenset[str] = frozenset()
    public_queue: bool = False

    @property
    def requester(self) -> str:
        return f"observer:{self.resource.name}"

    @property
    def origin(self) -> str:
        return self.resource.uid

    def question(self, request: CertificateRequest) -> Question:
        if request.system != self.resource.name:
            raise Denied(f"System {self.resource.name} says nothing about {request.system}")
        if self.observer is None or request.user != self.observer:
            raise Denied(f"{request.user} is not the observer of System {self.resource.name}")
        command = request.command
        if command is not None and not observer_commands_allow(
            command, cluster=self.cluster, file_systems=self.file_systems, public_queue=self.public_queue
        ):
            raise Denied(f"{request.operation} with these arguments is not on an observer's list of queries")
        return Question(
            trigger=Trigger.OBSERVE,
            subject=Subject.observer(self.observer),
            system=request.system,
            run_as=request.user,
            operation=request.operation,
            kind=Kind.SYSTEM.value,
            name=self.resource.name,
            args=_arguments(request),
            payload=_payload(request),
        )


def question_of(standing: Standing, request: CertificateRequest, blocked: BlockList) -> Question:
    """What policy is asked: for somebody who is on the block list nothing, but of the resources that are contained for it.

    Raises:
        Denied: the request does not follow from this standing, whatever policy says; Blocked when that is why.
    """
    if not (isinstance(standing, ResourceStanding) and standing.blocked):
        blocked.check(requester=standing.requester, user=request.user)
    return standing.question(request)


def check_reach(identity: Identity, *, user: str, system: str) -> None:
    """A token speaks for one Unix user, on the systems of its issuer's rule (T5).

    Raises:
        Denied: it does not for this one.
    """
    if identity.username != user:
        raise Denied(f"the token is of {identity.username}, not of {user}")
    if not identity.counts_for(system):
        raise Denied(f"tokens of the issuer {identity.issuer} do not count for system {system}")


def subject_of(identity: Identity, *, route: str) -> Subject:
    """An identity that was verified just now, as policy sees it.

    Args:
        route: REST route that the gateway names.
    """
    return Subject(
        via=Door.TOKEN,
        username=identity.username,
        issuer=identity.issuer,
        subject=identity.subject,
        groups=identity.groups,
        scopes=sorted(identity.scopes),
        claims=identity.claims,
        asked_at=int(time.time()),
        route=route,
    )


def _asked_of_scheduler(command: Command | None) -> dict[str, Mapping[str, Any]]:
    """Limits are judged again by what is signed: the options of sbatch are the effective fields (T9)."""
    if not isinstance(command, Submit):
        return {}
    return {"fields": command.options.dump(), "resources": resources(command.options)}


def _arguments(request: CertificateRequest) -> dict[str, Json]:
    return request.command.args() if request.command is not None else {}


def _payload(request: CertificateRequest) -> dict[str, Json]:
    payload = request.command.payload if request.command is not None else None
    return payload.dump() if payload is not None else {}
