"""A Job that is deleted is cancelled, or left behind unfollowed: only those who may manage the account do that (T7)."""

from __future__ import annotations

from goldcrest.errors import Denied
from goldcrest_admission.manager import Managers
from goldcrest_admission.requester import ADMINISTRATORS, Accounts
from goldcrest_admission.review import Review


class DeleteReview:
    """Decides on deletions; of a collection, on each Job in it."""

    def __init__(self, *, accounts: Accounts, managers: Managers) -> None:
        self._accounts = accounts
        self._managers = managers

    async def check(self, review: Review) -> None:
        """Whether this Job or Task may be deleted by this requester.

        The webhook's configuration does not even ask about those who always may, so that an end of a namespace, a TTL and an
        administrator do not wait for us.

        Raises:
            Denied, Unavailable: why not, as a sentence for people.
        """
        if review.username == self._accounts.gateway:
            raise Denied("the gateway deletes nothing; it cancels with an action grant of delegation")
        if review.username in self._accounts.deleting or ADMINISTRATORS in review.groups:
            return
        kind = review.made_kind
        sentence = f"{kind.short} {review.name} may not be deleted"
        await self._managers.check(review, {f"{kind.value.lower()}.delete": (sentence, {})})
