#!/usr/bin/env python3
"""Gets an access token for a person: authorisation code with PKCE (RFC 6749, RFC 7636), with Python's own library only.

    TOKEN=$(python3 examples/get_token.py --issuer https://idp.example.org/realms/hpc --client my-portal)

Opens the issuer's login page in a browser and waits on this machine for the answer. The client must be registered at the issuer as public,
for the redirect URI http://127.0.0.1:<port>/callback.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import secrets
import sys
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

WAIT_SECONDS = 300  # for somebody to sign in


def main() -> int:
    """The whole flow; the token goes to standard output, all else to standard error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--issuer", required=True, help="URL of the issuer, as in the `iss` claim of its tokens")
    parser.add_argument("--client", required=True, help="client id")
    parser.add_argument("--scope", default="openid firecrest", help="scopes, with blanks (default: %(default)s)")
    parser.add_argument("--port", type=int, default=28090, help="of the redirect URI (default: %(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address of the login page")
    options = parser.parse_args()

    addresses = fetch(options.issuer.rstrip("/") + "/.well-known/openid-configuration")
    redirect_uri = f"http://127.0.0.1:{options.port}/callback"
    # The verifier stays here, and only its digest goes through the browser: who sees the code cannot use it.
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    state = secrets.token_urlsafe(16)
    query = {
        "response_type": "code",
        "client_id": options.client,
        "redirect_uri": redirect_uri,
        "scope": options.scope,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    server = HTTPServer(("127.0.0.1", options.port), Callback)
    login = f"{addresses['authorization_endpoint']}?{urllib.parse.urlencode(query)}"
    sys.stderr.write(f"Sign in at {login}\n")
    sys.stderr.flush()
    if not options.no_browser:
        webbrowser.open(login)
    server.timeout = WAIT_SECONDS
    server.handle_request()

    answer = Callback.answer
    if answer.get("state") != state:  # an answer to another request, perhaps somebody else's
        sys.exit("no answer to this request came back: sign in again")
    if "code" not in answer:
        sys.exit(f"the issuer refused: {answer.get('error')}: {answer.get('error_description', '')}")
    tokens = fetch(
        addresses["token_endpoint"],
        grant_type="authorization_code",
        client_id=options.client,
        code=answer["code"],
        redirect_uri=redirect_uri,
        code_verifier=verifier,
    )
    sys.stdout.write(tokens["access_token"] + "\n")
    return 0


class Callback(BaseHTTPRequestHandler):
    """Takes the one request with which the browser comes back."""

    answer: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        Callback.answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"Thank you. You may close this page.\n")

    def log_message(self, *_: object) -> None:
        return  # its URL holds the code


def fetch(url: str, **form: str) -> dict[str, Any]:
    """A JSON answer; with a form by POST."""
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        sys.exit(f"{url} is not https: anybody on the way could read the token")
    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.urlopen(url, data=data, timeout=20) as response:  # noqa: S310 - checked above
            content: dict[str, Any] = json.load(response)
            return content
    except urllib.error.HTTPError as error:
        sys.exit(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:500]}")


if __name__ == "__main__":
    sys.exit(main())
