"""File names as text: Linux' are bytes, JSON's are Unicode. One form for each name, in arguments and in answers.

A byte that is not part of UTF-8 stands as ``\\xHH`` (two lower-case digits, 80 to ff). A backslash stands for itself, unless it would begin
something that reads like such a byte or like ``\\x5c``: then it is ``\\x5c``. So usual names, with backslashes or without, stay as they are.
"""

from __future__ import annotations

import re
from typing import Final

from goldcrest.errors import InvalidInput

_ESCAPE: Final = re.compile(rb"\\x(5c|[89a-f][0-9a-f])")


def name_text(name: bytes) -> str:
    """The text that stands for a name."""
    escaped = _ESCAPE.sub(lambda found: b"\\x5cx" + found[1], name)
    try:
        return escaped.decode()  # nearly all are UTF-8
    except UnicodeDecodeError:
        pass
    # What surrogateescape makes of a byte that is no UTF-8: U+DC80 to U+DCFF.
    return "".join(
        f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else character
        for character in escaped.decode("utf-8", "surrogateescape")
    )


def name_bytes(text: str) -> bytes:
    """The name that a text stands for.

    Raises:
        InvalidInput: the text is not the one for its name, so that nothing has two forms of which policy sees another one.
    """
    try:
        name = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{text!r} has a lone surrogate: write a byte that is no UTF-8 as \\xHH") from None
    if name_text(name) != text:
        raise InvalidInput(f"{text!r} escapes what needs no escape")
    return name
