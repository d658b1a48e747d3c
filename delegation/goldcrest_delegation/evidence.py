"""Finds out what a basis is worth: verifies tokens, reads resources live, checks grants, stamps and reviews (T8)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from goldcrest.authorised import authorised_commands, containment_commands
from goldcrest.authorised_tasks import authorised_task_commands
from goldcrest.blocked import BlockList
from goldcrest.commands import Command
from goldcrest.errors import Denied, InvalidInput, NotFound
from goldcrest.grants import GRANT_TYPE, STAMP_TYPE, Verifier, check_grant, check_stamp
from goldcrest.identity import TokenVerifier
from goldcrest.kube import Kube
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource, RequestedBy
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import TaskResource
from goldcrest.policy.accounts import review_account
from goldcrest.policy.question import Door, Subject, Trigger
from goldcrest.policy.requester import check_grant_name, requester_of_grant
from goldcrest.policy.systems import Systems
from goldcrest.scripts import script_of_config_map
from goldcrest.wellknown import ANNOTATION_GRANT, ANNOTATION_STAMP, LABEL_SHARD, Kind, Via
from goldcrest_delegation.callers import Caller
from goldcrest_delegation.lease import Leases
from goldcrest_delegation.requests import ResourceReference
from goldcrest_delegation.standing import ObserverStanding, ResourceStanding, TokenStanding

DEFAULT_SHARD = "default"

Trail = Callable[[str, str], None]
"""Is told of each check that was passed: its name, and what was found."""


def _quiet(_check: str, _found: str) -> None:
    """On the signing path nobody listens."""


def _word(subject: Subject) -> str:
    return "grant" if subject.via is Door.GRANT else "stamp"


class TokenEvidence:
    """What a REST caller's token is worth."""

    def __init__(self, *, tokens: TokenVerifier, systems: Systems) -> None:
        self._tokens = tokens
        self._systems = systems

    async def standing(self, token: str, *, system: str) -> TokenStanding:
        """Verify the token, and look up the system.

        Raises:
            Unauthenticated, NotFound, Unavailable.
        """
        identity = await self._tokens.verify(token)
        spec = await self._systems.get(system)
        return TokenStanding(identity, secrets.token_hex(8), spec.filter_path)


class ResourceEvidence:
    """What a live resource is worth to the operator.

    Args:
        grants: verifies our own grants.
        stamps: verifies admission's stamps.
        leases: None when no Lease is asked for.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        systems: Systems,
        grants: Verifier,
        stamps: Verifier,
        leases: Leases | None,
        cluster_id: str,
    ) -> None:
        self._kube = kube
        self._systems = systems
        self._grants = grants
        self._stamps = stamps
        self._leases = leases
        self._cluster_id = cluster_id

    async def standing(
        self, reference: ResourceReference, caller: Caller, *, blocked: BlockList, trail: Trail = _quiet
    ) -> ResourceStanding | ObserverStanding:
        """Read the resource, and check everything about it that does not depend on the command.

        Args:
            blocked: a Job of whom is on it is contained: its grant or stamp counts, and nothing follows but what makes less run.

        Raises:
            Denied, NotFound, InvalidInput, Unavailable; LeaseNotHeld for an operator that is not in charge.
        """
        raw = await self._read(reference)
        trail("resource", f"{reference.kind} {reference.name} is there, with this uid")
        if self._leases is not None:
            shard = str((raw["metadata"].get("labels") or {}).get(LABEL_SHARD) or DEFAULT_SHARD)
            await self._leases.check(shard=shard, holder=caller.holder)
        if reference.kind is Kind.SYSTEM:
            spec = parse_model(SystemSpec, raw.get("spec"), what="spec")
            looked_at = frozenset(system.path for system in spec.file_systems)
            public = spec.scheduler.queue_is_public is True
            return ObserverStanding(
                reference, spec.scheduler.observer, spec.filter_path, spec.scheduler.cluster, looked_at, public
            )
        return await self._asked_for(reference, raw, blocked, trail)

    async def _read(self, reference: ResourceReference) -> dict[str, Any]:
        raw = await self._kube.get(reference.kind, reference.name, namespace=reference.namespace or None)
        if raw["metadata"].get("uid") != reference.uid:
            raise NotFound(f"{reference.kind} {reference.name} is another one now: its uid is not {reference.uid}")
        return raw

    async def _asked_for(
        self, reference: ResourceReference, raw: dict[str, Any], blocked: BlockList, trail: Trail
    ) -> ResourceStanding:
        """Of a Job or a Task, which a person asked for."""
        resource = TaskResource.of(raw) if reference.kind is Kind.TASK else JobResource.of(raw)
        subject = self._subject(reference.kind, resource, raw)
        trail(
            subject.via.value.lower(),
            f"its {_word(subject)} is valid and fits the stored spec: {subject.username} asked",
        )
        system = await self._systems.get(resource.spec.system)
        requester = resource.spec.requested_by
        assert requester is not None  # noqa: S101 - _subject saw it
        why = blocked.why(requester=requester.username, user=resource.spec.run_as)
        script = await self._script(resource) if isinstance(resource, JobResource) and not why else None
        trigger, commands = self._following(resource, system, contained=why != "", script=script)
        wildcards: tuple[str, ...] = ()
        if requester.via is Via.KUBERNETES and trigger is Trigger.REQUEST:
            wildcards = await review_account(
                self._kube,
                requester,
                verb="use",
                namespace=reference.namespace,
                system=resource.spec.system,
                user=resource.spec.run_as,
            )
            trail("reviews", f"requester and namespace may use {resource.spec.system}:{resource.spec.run_as}")
        return ResourceStanding(
            resource=reference,
            requester=requester.username,
            subject=subject,
            system=resource.spec.system,
            run_as=resource.spec.run_as,
            filter_path=system.filter_path,
            commands=commands,
            trigger=trigger,
            blocked=why,
            wildcards=wildcards,
        )

    async def _script(self, job: JobResource) -> bytes | None:
        """What the ConfigMap holds now that the spec names; None where there is none, or nothing is to be submitted any more."""
        key = job.spec.script.config_map
        if key is None or job.deleting or job.spec.suspend or job.status.job_id is not None:
            return None
        try:
            return await script_of_config_map(self._kube, key, namespace=job.namespace)
        except (Denied, NotFound, InvalidInput):
            return None  # then no submission follows, and whatever else does

    def _following(
        self, resource: JobResource | TaskResource, system: SystemSpec, *, contained: bool, script: bytes | None
    ) -> tuple[Trigger, tuple[Command, ...]]:
        """What may be run for it, and why that is asked."""
        if isinstance(resource, TaskResource):
            # Nothing of a Task makes less run, and it leaves nothing behind.
            if contained:
                return Trigger.CONTAINMENT, ()
            return Trigger.REQUEST, authorised_task_commands(resource, system)
        if contained:
            # On the stored word alone: whoever is blocked has often lost the rights to the account, too.
            cluster = system.scheduler.cluster
            return Trigger.CONTAINMENT, containment_commands(resource, cluster_id=self._cluster_id, cluster=cluster)
        # A deleted resource's job is cancelled on the stored word: a terminating namespace has no rights left.
        trigger = Trigger.CLEANUP if resource.deleting else Trigger.REQUEST
        return trigger, authorised_commands(resource, system, cluster_id=self._cluster_id, script=script)

    def _subject(self, kind: Kind, resource: JobResource | TaskResource, raw: Mapping[str, Any]) -> Subject:
        """Who asked for the resource, as its grant or stamp says."""
        requester = resource.spec.requested_by
        what = f"{kind.short} {resource.namespace}/{resource.name}"
        if requester is None:
            raise Denied(f"{what} does not say who asked for it: admission did not see it")
        if requester.via is Via.GRANT:
            return self._granted(kind, resource, raw, requester)
        stamp = resource.annotations.get(ANNOTATION_STAMP)
        if stamp is None:
            raise Denied(f"{what} has no stamp: admission did not see it")
        check_stamp(self._stamps.verify(stamp, type_=STAMP_TYPE), kind=kind.value, resource=raw)
        return Subject.of_kubernetes(requester)

    def _granted(
        self, kind: Kind, resource: JobResource | TaskResource, raw: Mapping[str, Any], requester: RequestedBy
    ) -> Subject:
        what = f"{kind.short} {resource.namespace}/{resource.name}"
        grant = resource.annotations.get(ANNOTATION_GRANT)
        if grant is None:
            raise Denied(f"{what} has no grant although it says so")
        claims = self._grants.verify(grant, type_=GRANT_TYPE)
        try:
            check_grant(claims, kind=kind.value, resource=raw)
        except (KeyError, ValueError) as error:
            raise InvalidInput(f"{what} cannot be compared with its grant") from error
        check_grant_name(claims, resource.name)
        if requester_of_grant(claims) != requester:
            raise Denied("spec.requestedBy is not whom the grant names")
        return Subject.of_grant(claims)
