"""Everything that delegation needs at run time, built once at start."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldcrest.canonical import b64url
from goldcrest.faults import FaultPoints
from goldcrest.grants import SigningKey, Verifier, key_id
from goldcrest.identity import TokenVerifier
from goldcrest.identity.keyfiles import load_ed25519, load_public_ed25519
from goldcrest.kube import Kube
from goldcrest.measures import Measures
from goldcrest.policy import Policy, PolicyReadiness
from goldcrest.policy.systems import Systems
from goldcrest_delegation.audit import AuditLog
from goldcrest_delegation.blocking import BlockFile, Blocks, NoBlockFile
from goldcrest_delegation.ca import CertificateAuthority
from goldcrest_delegation.ca_agent import AgentKey
from goldcrest_delegation.ca_key import CaKey, FileKey
from goldcrest_delegation.callers import Callers
from goldcrest_delegation.evidence import ResourceEvidence, TokenEvidence
from goldcrest_delegation.faults import POINTS
from goldcrest_delegation.granting import Granter
from goldcrest_delegation.lease import Leases
from goldcrest_delegation.metrics import Metrics
from goldcrest_delegation.settings import Settings
from goldcrest_delegation.signing import Signer


@dataclass(frozen=True, slots=True)
class Checks:
    """What decides on a certificate; without the CA's key. Build with :meth:`open`.

    Args:
        verifier: verifies tokens of people.
    """

    tokens: TokenEvidence
    resources: ResourceEvidence
    blocks: Blocks
    policy: Policy
    kube: Kube
    systems: Systems
    verifier: TokenVerifier
    grant_key: Ed25519PrivateKey
    former_grant_keys: tuple[Ed25519PublicKey, ...]

    @classmethod
    async def open(
        cls, settings: Settings, stack: AsyncExitStack, *, ask_lease: bool, measures: Measures | None = None
    ) -> Checks:
        """Load rules, connect; ``stack`` closes everything.

        Raises:
            InvalidInput: a file is missing or wrong, with what to do.
            KubernetesUnavailable: the cluster's id cannot be read.
        """
        block_file = BlockFile(settings.block_file) if settings.block_file is not None else NoBlockFile()
        key = load_ed25519(settings.grant_key_file)
        former = tuple(load_public_ed25519(path) for path in settings.former_grant_key_files)
        stamps = Verifier.of(*(load_public_ed25519(path) for path in settings.stamp_key_files))
        tokens = TokenVerifier.from_file(settings.identity_file)
        stack.push_async_callback(tokens.close)
        policy = Policy(
            url=settings.opa_url,
            ca_file=settings.opa_ca_file,
            client_cert=settings.opa_client_cert,
            client_key=settings.opa_client_key,
            measures=measures,
        )
        stack.push_async_callback(policy.close)
        kube = await Kube.connect(settings.kubeconfig)
        stack.push_async_callback(kube.close)
        systems = Systems(kube)
        resources = ResourceEvidence(
            kube=kube,
            systems=systems,
            grants=Verifier.of(key.public_key(), *former),
            stamps=stamps,
            leases=Leases(kube, namespace=settings.namespace) if ask_lease else None,
            cluster_id=await kube.cluster_id(),
        )
        evidence = TokenEvidence(tokens=tokens, systems=systems)
        return cls(evidence, resources, Blocks(block_file, policy), policy, kube, systems, tokens, key, former)


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that answer requests. Build with :meth:`open`."""

    callers: Callers
    signer: Signer
    granter: Granter
    blocks: Blocks
    readiness: PolicyReadiness
    grant_jwks: tuple[dict[str, Any], ...]
    metrics: Metrics

    @classmethod
    async def open(cls, settings: Settings, stack: AsyncExitStack) -> Context:
        """Load keys and rules, connect; ``stack`` closes everything.

        Raises:
            InvalidInput: a file is missing or wrong, with what to do.
            Unavailable: the CA's ssh-agent does not answer.
            KubernetesUnavailable: the cluster's id cannot be read.
        """
        faults = FaultPoints(settings.fault_point, points=POINTS, allowed=settings.allow_faults)
        authority = CertificateAuthority(await _ca_key(settings, stack), source_addresses=settings.source_addresses)
        audit = AuditLog(settings.audit_file)
        stack.callback(audit.close)
        metrics = Metrics()
        checks = await Checks.open(settings, stack, ask_lease=settings.require_lease, measures=metrics.measures)
        return cls(
            callers=Callers(checks.kube, namespace=settings.namespace),
            signer=Signer(
                authority=authority,
                tokens=checks.tokens,
                resources=checks.resources,
                blocks=checks.blocks,
                policy=checks.policy,
                audit=audit,
                metrics=metrics,
                faults=faults,
            ),
            granter=Granter(
                key=SigningKey(checks.grant_key),
                tokens=checks.verifier,
                systems=checks.systems,
                kube=checks.kube,
                blocks=checks.blocks,
                policy=checks.policy,
                audit=audit,
                user_namespaces=settings.user_namespaces,
                metrics=metrics,
                faults=faults,
            ),
            blocks=checks.blocks,
            readiness=PolicyReadiness(checks.policy),
            grant_jwks=tuple(map(public_jwk, (checks.grant_key.public_key(), *checks.former_grant_keys))),
            metrics=metrics,
        )


def public_jwk(key: Ed25519PublicKey) -> dict[str, Any]:
    """A grant key as JWK (RFC 8037)."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key_id(key), "x": b64url(raw)}


async def _ca_key(settings: Settings, stack: AsyncExitStack) -> CaKey:
    if settings.ca_key_file is not None:
        return FileKey.load(settings.ca_key_file)
    assert settings.ca_agent_socket is not None  # noqa: S101 - the settings are consistent
    assert settings.ca_public_key_file is not None  # noqa: S101
    key = await AgentKey.open(settings.ca_agent_socket, settings.ca_public_key_file)
    stack.push_async_callback(key.close)
    return key
