"""Everything that admission needs at run time, built once at start."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from goldcrest.grants import SigningKey, Verifier
from goldcrest.identity.keyfiles import load_ed25519, load_public_ed25519
from goldcrest.kube import Kube
from goldcrest.policy import Policy, PolicyReadiness
from goldcrest.policy.systems import Systems
from goldcrest_admission.create import CreateReview
from goldcrest_admission.delete import DeleteReview
from goldcrest_admission.manager import Managers
from goldcrest_admission.metrics import Metrics
from goldcrest_admission.quota import TaskQuota
from goldcrest_admission.requester import Accounts, Requesters
from goldcrest_admission.scripts import Scripts
from goldcrest_admission.settings import Settings
from goldcrest_admission.update import UpdateReview


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that answer reviews. Build with :meth:`open`."""

    create: CreateReview
    update: UpdateReview
    delete: DeleteReview
    readiness: PolicyReadiness
    metrics: Metrics

    @classmethod
    async def open(cls, settings: Settings, stack: AsyncExitStack) -> Context:
        """Load keys, connect; ``stack`` closes everything.

        Raises:
            InvalidInput: a file is missing or wrong, with what to do.
        """
        key = load_ed25519(settings.stamp_key_file)
        grants = Verifier.of(*(load_public_ed25519(path) for path in settings.grant_key_files))
        older = (load_public_ed25519(path) for path in settings.older_stamp_key_files)
        stamps = Verifier.of(key.public_key(), *older)
        accounts = Accounts.in_namespace(settings.namespace)
        metrics = Metrics()
        policy = Policy(
            url=settings.opa_url,
            ca_file=settings.opa_ca_file,
            client_cert=settings.opa_client_cert,
            client_key=settings.opa_client_key,
            measures=metrics.measures,
        )
        stack.push_async_callback(policy.close)
        kube = await Kube.connect(settings.kubeconfig)
        stack.push_async_callback(kube.close)
        managers = Managers(reviews=kube, policy=policy)
        return cls(
            create=CreateReview(
                requesters=Requesters(accounts=accounts, grants=grants, stamps=stamps),
                key=SigningKey(key),
                systems=Systems(kube),
                reviews=kube,
                scripts=Scripts(kube),
                policy=policy,
                quota=TaskQuota(kube),
            ),
            update=UpdateReview(accounts=accounts, grants=grants, managers=managers),
            delete=DeleteReview(accounts=accounts, managers=managers),
            readiness=PolicyReadiness(policy),
            metrics=metrics,
        )
