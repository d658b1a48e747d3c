from __future__ import annotations

from pathlib import Path

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.identity import load_rules
from unit.identity.tokens import RULE

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (RULE + "colour = 1\n", r"issuer\[1\].colour \(https://one.example\): unknown key.*known: issuer, jwks_url"),
        ("[extra]\n" + RULE, "extra: unknown key"),
        (RULE.replace('audience = "goldcrest"\n', ""), r"issuer\[1\].audience.*: add this key"),
        (RULE.replace("RS256", "HS256"), "RS256"),
        (RULE.replace('["RS256"]', "[]"), r"issuer\[1\].algorithms"),
        (RULE + RULE, "two .*issuer.* tables for https://one.example"),
        (RULE.replace('jwks_file = "JWKS"', ""), "exactly one of jwks_url and jwks_file"),
        (RULE + 'jwks_url = "https://one.example/keys"\n', "exactly one of jwks_url and jwks_file"),
        (RULE.replace("jwks_file", "jwks_url").replace("JWKS", "http://one.example"), "https://"),
        (RULE.replace('["cluster"]', '["*", "cluster"]'), "write either"),
        (RULE + 'username_pattern = "("\n', "no regular expression"),
        (RULE + 'username_pattern = "(?P<a>x)(?P<b>y)"\n', "exactly one named group"),
        ("", "issuer: add this key"),
        ("= =", "is not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: str, message: str) -> None:
    """A mistake in identity.toml stops the start, with file, key and what to do."""
    path = tmp_path / "identity.toml"
    path.write_text(change)
    with pytest.raises(InvalidInput, match=message) as caught:
        load_rules(path)
    assert str(path) in caught.value.message


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(InvalidInput, match=r"none\.toml cannot be read"):
        load_rules(tmp_path / "none.toml")
