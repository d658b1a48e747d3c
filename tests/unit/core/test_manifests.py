"""The manifests say names in expressions that no type checker knows: each must be one of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldcrest import wellknown
from goldcrest.creation import MADE_KINDS
from goldcrest.wellknown import FINALIZER, GROUP, Phase, namespace_of_user
from goldcrest_admission.requester import ADMINISTRATORS, GARBAGE_COLLECTORS, NAMESPACE_CONTROLLER, Accounts
from goldcrest_admission.update import ADMINISTRATORS_LABELS, FROZEN_ANNOTATIONS

pytestmark = pytest.mark.unit

MANIFESTS = Path(__file__).parents[3] / "dev" / "manifests"
POLICIES = {
    item["metadata"]["name"]: item["spec"]
    for item in yaml.safe_load_all((MANIFESTS / "policies.yaml").read_text())
    if item["kind"] == "ValidatingAdmissionPolicy"
}
WEBHOOKS = [item["webhooks"][0] for item in yaml.safe_load((MANIFESTS / "webhooks.yaml").read_text())["items"]]
OURS = {value for name, value in vars(wellknown).items() if name.startswith(("ANNOTATION_", "LABEL_", "FINALIZER"))}
ACCOUNTS = Accounts.in_namespace("goldcrest")
PEOPLE = {ACCOUNTS.gateway, ACCOUNTS.operator, NAMESPACE_CONTROLLER, *GARBAGE_COLLECTORS, ADMINISTRATORS}


def texts(value: Any) -> str:
    """All expressions of a policy or a webhook."""
    match value:
        case dict():
            return "\n".join(texts(inner) for inner in value.values())
        case list():
            return "\n".join(map(texts, value))
    return str(value)


@pytest.mark.parametrize("text", [texts(POLICIES), texts(WEBHOOKS)], ids=["policies", "webhooks"])
def test_names(text: str) -> None:
    """Annotations, labels, finalizer and accounts are spelt as in wellknown.py."""
    assert set(re.findall(rf"{GROUP}/[a-z0-9-]+", text)) - {f"{GROUP}/v1alpha1"} <= OURS
    assert set(re.findall(r"system:[a-z0-9:-]+[a-z0-9]", text)) <= PEOPLE


def test_both_guard_the_same() -> None:
    """What admission decides on in its code, the webhooks ask about, and the policies keep; nothing of it is forgotten."""
    asked, kept = texts(WEBHOOKS[0]), texts(POLICIES["goldcrest-job-changed"])
    guarded = {
        *FROZEN_ANNOTATIONS,
        *ADMINISTRATORS_LABELS,
        wellknown.ANNOTATION_ACTION_GRANT,
        wellknown.ANNOTATION_PAUSED,
        wellknown.ANNOTATION_READ_AT,
    }
    for name in (*guarded, FINALIZER, ACCOUNTS.gateway, ACCOUNTS.operator, *GARBAGE_COLLECTORS, ADMINISTRATORS):
        assert f"'{name}'" in asked, name
        assert f"'{name}'" in kept or name == FINALIZER, name
    assert WEBHOOKS[0]["matchConditions"] == WEBHOOKS[1]["matchConditions"]
    deleting = texts(POLICIES["goldcrest-job-deleted"])
    for name in ACCOUNTS.deleting:
        assert f"'{name}'" in deleting
        assert f"'{name}'" in texts(WEBHOOKS[0]["matchConditions"][1])
    finished = {f"'{phase.value}'" for phase in Phase if phase.finished}
    assert finished <= set(re.findall(r"'[A-Z][a-z]+'", deleting))


def test_webhooks_fail_closed() -> None:
    """Nothing is let through while admission is away, and nothing is written by asking."""
    for webhook in WEBHOOKS:
        assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Fail", "None")
        assert webhook["timeoutSeconds"] <= 5
        assert webhook["rules"][0]["resources"] == [kind.plural for kind in MADE_KINDS]


@pytest.mark.parametrize("user", ["alice", "Robert'); DROP", "x" * 64, "ünï", "_", "a.b_c-d", "0"])
def test_namespaces_of_users(user: str) -> None:
    """Every name that the gateway makes for a user is one that the policy lets it make."""
    (pattern,) = re.findall(r"matches\('([^']+)'\)", texts(POLICIES["goldcrest-namespace-made"]))
    assert re.fullmatch(pattern, namespace_of_user(user))
