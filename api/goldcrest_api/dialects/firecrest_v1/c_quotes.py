r"""Names as ``ls --quoting-style=c`` writes them (contract 4.2), and back. So any name can be text, whatever bytes it has.

A byte that is no part of a printable character of UTF-8 is ``\ooo``, a few have letters (``\n``, ``\t`` …), a backslash is doubled; between quotes
a ``"`` has a backslash as well. In a record the quotes are taken off, and ``"`` stands for itself.
"""

from __future__ import annotations

import re
from typing import Final

_LETTERS: Final = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 92: "\\"}
_BYTES: Final = {letter: bytes([byte]) for byte, letter in _LETTERS.items()}
_PLAIN: Final = re.compile(r"[^\\\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]*")
_ESCAPE: Final = re.compile(r"\\([0-7]{3}|.)?", re.DOTALL)


def escaped(name: bytes) -> str:
    """A name as a record has it."""
    text = name.decode("utf-8", "surrogateescape")
    if _PLAIN.fullmatch(text) and text.isprintable():
        return text
    return "".join(map(_written, text))


def quoted(name: bytes) -> str:
    """A name between quotes, as a line of ls has it."""
    return '"' + escaped(name).replace('"', '\\"') + '"'


def unescaped(text: str) -> bytes:
    """The name that was written so.

    Raises:
        ValueError: a backslash that begins no escape.
    """
    return b"".join(_read(text))


def _read(text: str) -> list[bytes]:
    pieces, at = [], 0
    for match in _ESCAPE.finditer(text):
        pieces.append(text[at : match.start()].encode())
        code, at = match[1], match.end()
        if code in _BYTES:
            pieces.append(_BYTES[code])
        elif code is not None and len(code) == 3 and int(code, 8) < 256:
            pieces.append(bytes([int(code, 8)]))
        else:
            raise ValueError(f"{match[0]!r} is no escape: a backslash is written twice, a byte as three octal digits")
    pieces.append(text[at:].encode())
    return pieces


def _written(character: str) -> str:
    code = ord(character)
    if code in _LETTERS:
        return "\\" + _LETTERS[code]
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
