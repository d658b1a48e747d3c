"""Whether a requester may manage the account of a resource: both account reviews of T7 with the verb manage, and policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from goldcrest.policy import Policy, Question, Subject, Trigger
from goldcrest.policy.accounts import AccessReviews, review_account
from goldcrest.policy.requester import requester_of_user
from goldcrest.wellknown import OPA_ADMISSION
from goldcrest_admission.review import Raw, Review, mapping


class Managers:
    """Decides on what is done to a Job or Task that is there."""

    def __init__(self, *, reviews: AccessReviews, policy: Policy) -> None:
        self._reviews = reviews
        self._policy = policy

    async def check(self, review: Review, doings: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        """Whether the requester may do all of this.

        Args:
            doings: operation for policy (``job.cancel``) to its sentence for people and its arguments.

        Raises:
            Denied: why not.
            Unavailable: the API server or OPA does not answer; DeniedForNow during a maintenance that the site stops this in.
        """
        spec: Raw = mapping(review.old, "spec")
        system, user = str(spec.get("system")), str(spec.get("runAs"))
        requester = requester_of_user(review.user_info)
        wildcards = await review_account(
            self._reviews, requester, verb="manage", namespace=review.namespace, system=system, user=user
        )
        questions = [
            Question(
                trigger=Trigger.REQUEST,
                subject=Subject.of_kubernetes(requester),
                system=system,
                run_as=user,
                operation=operation,
                kind=review.made_kind.value,
                namespace=review.namespace,
                name=review.name,
                args=args,
                wildcards=wildcards,
            )
            for operation, (_, args) in doings.items()
        ]
        decisions = await self._policy.decide_many(OPA_ADMISSION, questions)
        for (sentence, _), question, decision in zip(doings.values(), questions, decisions, strict=True):
            if not decision.allow:
                raise replace(decision, reason=f"{sentence}: {decision.reason}").refusal(question)
