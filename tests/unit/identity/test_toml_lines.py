from __future__ import annotations

import pytest

from goldcrest.identity.toml_lines import line_of

pytestmark = pytest.mark.unit

DOCUMENT = """\
# Comments and empty lines count.

top = 1
text = \'\'\'
[[issuer]]
issuer = "in a text, not here"
\'\'\'

[[issuer]]
issuer = "a"   # the first
systems = [
    # one of them
    "cluster",
    "other",
]

[[issuer]]
issuer = "b"
dotted.key = 2

# Its users.
[issuer.users]
"service account" = "svc"
last = "x\""""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 3),
        (("text",), 4),
        (("issuer",), 9),
        (("issuer", 0), 9),
        (("issuer", 0, "issuer"), 10),
        (("issuer", 0, "systems"), 11),
        (("issuer", 0, "systems", 1), 11),
        (("issuer", 0, "missing"), 9),
        (("issuer", 1), 17),
        (("issuer", 1, "issuer"), 18),
        (("issuer", 1, "dotted", "key"), 19),
        (("issuer", 1, "users"), 22),
        (("issuer", 1, "users", "service account"), 23),
        (("issuer", 1, "users", "last"), 24),
        (("issuer", 1, "users", "last", "deeper"), 24),
        (("issuer", 2), 9),
        (("nothing",), 1),
        ((), 1),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines(path: tuple[str | int, ...], line: int, ending: str) -> None:
    """Tables, keys, arrays of several lines, tables in tables; what is not there is next to what is."""
    assert line_of(DOCUMENT.replace("\n", ending), path) == line


def test_a_long_table() -> None:
    """Thousands of lines do not make it slow: the parser is asked some dozens of times."""
    document = "[users]\n" + "".join(f'u{number} = "x"\n' for number in range(3000))
    assert line_of(document, ("users", "u2222")) == 2224
