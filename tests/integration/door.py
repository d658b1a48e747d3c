"""The REST door for tables of what the contract says: short ways to ask, and all that an answer tells."""

from __future__ import annotations

import json
import secrets
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

import jwt

from bed import Answer, Bed

# All of contract 3.6, and the two that come with what passes by itself.
SPECIAL: Final = (
    "X-Machine-Does-Not-Exist", "X-Machine-Does-Not-Exists", "X-Machine-Not-Available", "X-Permission-Denied", "X-Invalid-Path",
    "X-Not-Found", "X-Exists", "X-A-Directory", "X-Not-A-Directory", "X-Timeout", "X-Size-Limit", "X-Invalid-Mode",
    "X-Invalid-Owner", "X-Invalid-Group", "X-Error", "X-Sbatch-Error", "Retry-After", "WWW-Authenticate",
)  # fmt: skip
NO_SUCH_MACHINE: Final = {  # both spellings (D6)
    "X-Machine-Does-Not-Exist": "Machine does not exist",
    "X-Machine-Does-Not-Exists": "Machine does not exists",
}
_TOKEN_SECONDS: Final = 120.0  # those of the bed live 300 s

Told = tuple[int, Any, dict[str, str]]


def told(answer: Answer) -> Told:
    """Status, body and every header of contract 3.6 that is there: what a client acts on. The style of JSON (2.4) is looked at as well."""
    body = answer.json
    assert answer.headers["Content-Type"] == "application/json"
    sorted_compact = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    assert answer.body.decode() == sorted_compact
    return answer.status, body, {name: answer.headers[name] for name in SPECIAL if name in answer.headers}


class Door:
    """The bed's gateway; tokens are fetched once, not for each request."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._tokens: dict[str, tuple[float, str]] = {}

    def token(self, client: str = "alice-client") -> str:
        until, token = self._tokens.get(client, (0.0, ""))
        if time.monotonic() > until:
            token = self.bed.token(client)
            self._tokens[client] = (time.monotonic() + _TOKEN_SECONDS, token)
        return token

    def ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        client: str = "alice-client",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """One request with fields where the contract has them: in the query of GET, in the form of the others."""
        given = urllib.parse.urlencode(fields or {})
        more.setdefault("token", self.token(client))
        if method == "GET":
            return self.bed.call(method, f"{path}?{given}" if given else path, headers=headers, **more)
        form = {"Content-Type": "application/x-www-form-urlencoded"} if fields is not None else {}
        body = given.encode() if fields is not None else None
        return self.bed.call(method, path, headers={**form, **(headers or {})}, body=body, **more)

    def upload(self, fields: Mapping[str, str], content: bytes | None, *, name: str = "new", **more: Any) -> Answer:
        """``POST /utilities/upload``; None: no file."""
        boundary = secrets.token_hex(16)
        lead = f"--{boundary}\r\nContent-Disposition: form-data; name="
        body = "".join(f'{lead}"{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()).encode()
        if content is not None:
            body += f'{lead}"file"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        more.setdefault("token", self.token())
        whole = body + f"--{boundary}--\r\n".encode()
        return self.bed.call("POST", "/utilities/upload", headers=headers, body=whole, **more)

    # ---- requests whose caller is not known (contract 3.2) ----

    def unauthenticated(self, method: str, path: str, **more: Any) -> None:
        """Every way in which a token can be wrong is 401 in the contract's words, whatever else is wrong with the request.

        Raises:
            AssertionError: the answer was another one.
        """
        token = self.token()
        signature = token.rpartition(".")[2]
        forged = token.removesuffix(signature) + ("A" if signature[0] != "A" else "B") + signature[1:]
        claims = jwt.decode(token, options={"verify_signature": False})
        scope = "Scope 'firecrest' wasn't found in JWT"
        for given, reason, kind in (
            (None, "No Auth Header given", ""),
            ("no.token.atall", "Bad header or JWT, general exception raised", "invalid_token"),
            (forged, "JWT token has invalid signature", "invalid_token"),
            (jwt.encode(claims, "", algorithm="none"), "JWT token has invalid signature algorithm", "invalid_token"),
            (self.token("scopeless-client"), scope, "insufficient_scope"),
        ):
            answer = self.bed.call(method, path, token=given, client=None, **more)
            assert (answer.status, answer.json) == (401, {"description": reason}), (path, reason)
            challenge = answer.headers["WWW-Authenticate"]
            assert challenge == "Bearer" if not kind else challenge.startswith(f'Bearer error="{kind}"'), challenge
