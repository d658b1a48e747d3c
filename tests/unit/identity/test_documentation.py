"""What docs/identity.md tells administrators to write is what load_rules accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from goldcrest.identity import IssuerRule, load_rules
from unit.identity.tokens import Key, identity_file

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "docs" / "identity.md").read_text()
RULES = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
def test_rules(tmp_path: Path, rule: str) -> None:
    """Each example is a whole rule, but for the file of keys."""
    text = rule.replace("/etc/goldcrest/kubernetes-jwks.json", "JWKS")
    assert len(load_rules(identity_file(tmp_path, Key("one"), rule=text))) == 1


def test_there_are_examples() -> None:
    """For Keycloak, Entra and Kubernetes."""
    assert len(RULES) == 3


def test_every_setting_is_explained() -> None:
    """The table of settings names each key of a rule."""
    table = PAGE.partition("## The settings of a rule")[2].partition("\n## ")[0]
    missing = [name for name in IssuerRule.model_fields if f"`{name}`" not in table and f"[issuer.{name}]" not in table]
    assert missing == []
