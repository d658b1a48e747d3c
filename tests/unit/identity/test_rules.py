from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.identity import load_rules
from unit.identity.tokens import RULE, Key, identity_file

pytestmark = pytest.mark.unit

KEY = Key("one")
# RULE begins with an empty line: [[issuer]] is line 2, issuer 3, jwks_file 4, … groups_claim 10.
USERS = """
[issuer.users]
"service-account-portal" = "svc-portal"
"""
PATTERN = "username_pattern = 'service-account-(?P<username>[a-z]+)'\n"


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (
            RULE + "colour = 1\n",
            11,
            r"issuer\[1\].colour \(https://one.example\): unknown key.*known: issuer, jwks_url",
        ),
        ("[extra]\n" + RULE, 1, "extra: unknown key"),
        (RULE.replace('audience = "goldcrest"\n', ""), 2, r"issuer\[1\].audience.*: add this key"),
        (RULE.replace('"goldcrest"', "5"), 5, r"issuer\[1\].audience .*: Input should be a valid list"),
        (RULE.replace('"goldcrest"', "[]"), 5, r"issuer\[1\].audience .*: .*at least 1 item"),
        (RULE.replace('["RS256"]', '[\n  "RS256",\n  "HS256",\n]'), 6, r"issuer\[1\].algorithms\[2\].*RS256"),
        (RULE.replace('["RS256"]', "[]"), 6, r"issuer\[1\].algorithms"),
        (RULE.replace('["cluster"]', '"cluster"'), 8, r"issuer\[1\].systems .*valid list"),
        (RULE + RULE, 13, r"issuer\[2\].issuer .*: a rule for this issuer is in line 3 already; .* chance: keep one"),
        (RULE.replace('jwks_file = "JWKS"', ""), 3, "exactly one of jwks_url and jwks_file"),
        (RULE + 'jwks_url = "https://one.example/keys"\n', 4, "exactly one of jwks_url and jwks_file"),
        (RULE.replace("jwks_file", "jwks_url").replace("JWKS", "http://one.example"), 4, "begin with https://"),
        (RULE.replace("jwks_file", "jwks_url").replace("JWKS", "https://"), 4, "begin with https://"),
        (RULE + 'ca_file = "/etc/ca.pem"\n', 11, "ca_file .*of use only with an https jwks_url"),
        (RULE.replace('["cluster"]', '["*", "cluster"]'), 8, "write either"),
        (RULE + 'username_pattern = "("\n', 11, "no regular expression"),
        (RULE + 'username_pattern = "(?P<a>x)(?P<b>y)"\n', 11, "exactly one named group"),
        (RULE + 'required_scopes = "a"\n', 11, "required_scopes .*unknown key"),
        (RULE.replace('"firecrest"', '"two words"'), 9, r"issuer\[1\].required_scope"),
        (RULE + 'implied_scopes = ["firecrest"]\n', 11, "every token has firecrest then, .*: remove one"),
        (RULE + USERS.replace('"svc-portal"', '"root"'), 12, "'root' is no Unix user"),
        (RULE + USERS.replace('"svc-portal"', "1001"), 13, r"issuer\[1\].users.service-account-portal .*valid string"),
        (RULE + USERS + "service-account-portal = 'bob'\n", 14, "is not TOML"),
        (
            RULE + PATTERN + USERS,
            13,
            "makes 'service-account-portal' svc-portal, and username_pattern makes it portal: change one of them",
        ),
        (RULE + 'users_claim = "sub"\n', 11, r"users_claim .*only with a table \[issuer.users\]"),
        (RULE + 'users_claim = "azp"\n' + USERS, 11, "azp names the client, also in tokens of people"),
        ("", 1, "issuer: add this key"),
        ("issuer = []", 1, "issuer: .*at least 1 item"),
        ("issuer = 1", 1, "issuer: .*valid list"),
        ("= =", 1, "is not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: str, line: int, message: str) -> None:
    """A mistake in identity.toml stops the start, with file, line, key and what to do."""
    path = identity_file(tmp_path, KEY, rule=change)
    with pytest.raises(InvalidInput, match=message) as caught:
        load_rules(path)
    where = f"at line {line}," if "not TOML" in message else f"{path}:{line}: "
    assert where in caught.value.message, caught.value.message


def test_every_mistake_is_named(tmp_path: Path) -> None:
    """One start shows them all, a line each."""
    path = identity_file(tmp_path, KEY, rule=RULE.replace('"goldcrest"', "5") + "colour = 1\n")
    with pytest.raises(InvalidInput) as caught:
        load_rules(path)
    assert [line.split(": ")[0] for line in caught.value.message.splitlines()] == [f"{path}:5", f"{path}:11"]


def test_users_and_pattern_that_agree(tmp_path: Path) -> None:
    """A table may name what the pattern gives as well, and what it does not match."""
    pattern = PATTERN.replace("[a-z]+", "[a-z-]+")
    table = USERS.replace('"svc-portal"', '"portal"') + '"0001" = "alice"\n'
    [rule] = load_rules(identity_file(tmp_path, KEY, rule=RULE + pattern + table))
    assert rule.users == {"service-account-portal": "portal", "0001": "alice"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory; correct the path, or put the file there"),
        ("{", "is of no use: not a JSON Web Key Set; put the issuer's public keys there"),
        ('{"keys": []}', "is of no use: no signature key in the JSON Web Key Set"),
    ],
)
def test_key_files_are_looked_at(tmp_path: Path, content: str | None, message: str) -> None:
    """A key file that is missing or of no use stops the start, with the line that names it."""
    path = identity_file(tmp_path, KEY)
    jwks = tmp_path / "jwks.json"
    jwks.unlink()
    if content is not None:
        jwks.write_text(content)
    with pytest.raises(InvalidInput) as caught:
        load_rules(path)
    assert caught.value.message.startswith(f"{path}:4: issuer[1].jwks_file (https://one.example): {jwks} {message}")


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("x", "holds no certificates in PEM")])
def test_authorities_are_looked_at(tmp_path: Path, content: str | None, message: str) -> None:
    """The same for the file with the issuer's certificates."""
    authorities = tmp_path / "ca.pem"
    if content is not None:
        authorities.write_text(content)
    rule = RULE.replace('jwks_file = "JWKS"', f'jwks_url = "https://one.example/keys"\nca_file = "{authorities}"')
    path = identity_file(tmp_path, rule=rule)
    with pytest.raises(InvalidInput) as caught:
        load_rules(path)
    assert caught.value.message.startswith(
        f"{path}:5: issuer[1].ca_file (https://one.example): {authorities} {message}"
    )


def test_files_that_others_can_change(tmp_path: Path) -> None:
    """Who can write the rules or the keys is who decides who anybody is: refused, with the command that mends it."""
    path = identity_file(tmp_path, KEY)
    for file in (path, tmp_path / "jwks.json"):
        for mode in (0o664, 0o646):
            file.chmod(mode)
            with pytest.raises(InvalidInput, match=f"{file} has mode {mode:04o}, .*: chmod go-w {file}"):
                load_rules(path)
        file.chmod(0o644)
    load_rules(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_files_of_somebody_else(tmp_path: Path) -> None:
    """The same for their owner."""
    path = identity_file(tmp_path, KEY)
    os.chown(path, 12345, -1)
    with pytest.raises(InvalidInput, match="belongs to uid 12345"):
        load_rules(path)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(InvalidInput, match=r"none\.toml cannot be read"):
        load_rules(tmp_path / "none.toml")


def test_words_and_lists(tmp_path: Path) -> None:
    """One audience or scope may be written without brackets."""
    rule = RULE.replace('"goldcrest"', '["goldcrest", "firecrest"]')
    [several] = load_rules(identity_file(tmp_path, KEY, rule=rule))
    assert (several.audience, several.required_scope) == (["goldcrest", "firecrest"], ["firecrest"])
    assert json.loads(several.model_dump_json())["audience"] == ["goldcrest", "firecrest"]
