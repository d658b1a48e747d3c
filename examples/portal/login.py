"""Logging in: authorisation code with PKCE (S256), state and nonce, by Authlib; tokens are renewed while the issuer agrees."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from sessions import Session
from starlette.requests import Request
from starlette.responses import Response

EARLY_SECONDS = 30  # a token that ends within these is renewed before it is used


class LogInAgain(Exception):
    """Nobody is logged in, or no longer."""


class NotLoggedIn(Exception):
    """The log-in did not succeed. The text is for the user; what others say in the URL is not part of it."""


@dataclass(frozen=True)
class Client:
    """What the issuer knows of the portal."""

    issuer: str
    client_id: str
    client_secret: str | None
    scope: str
    redirect_uri: str


class Login:
    """The portal as a client of the issuer."""

    def __init__(self, client: Client) -> None:
        for url in (client.issuer, client.redirect_uri):
            if urlsplit(url).scheme != "https" and urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
                raise ValueError(f"{url} is not https: anybody on the way could read codes and tokens")
        self._client = client
        self._site = OAuth().register(
            name="site",
            client_id=client.client_id,
            client_secret=client.client_secret,
            server_metadata_url=client.issuer.rstrip("/") + "/.well-known/openid-configuration",
            client_kwargs={
                "scope": client.scope,
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": "client_secret_basic" if client.client_secret else "none",
            },
        )

    async def begin(self, request: Request) -> Response:
        """To the issuer's page. State, nonce and the verifier of PKCE stay in the session."""
        try:
            response: Response = await self._site.authorize_redirect(request, self._client.redirect_uri)
        except httpx2.HTTPError as error:
            raise NotLoggedIn("The identity provider does not answer; try again later.") from error
        return response

    async def finish(self, request: Request) -> None:
        """The browser is back: the tokens go into the session.

        Raises:
            NotLoggedIn: it brings no answer to a question of this session, or the issuer refused.
        """
        answer = request.query_params
        # Before anything that the URL says is believed: who sends somebody here with an answer of their own gets nothing.
        if f"_state_site_{answer.get('state', '')}" not in request.session:
            raise NotLoggedIn("This is no answer to a log-in that was begun here, or an old one. Log in again.")
        if answer.get("iss", self._client.issuer) != self._client.issuer:  # RFC 9207
            raise NotLoggedIn("Another identity provider answered.")
        if "error" not in answer and "code" not in answer:
            raise NotLoggedIn("The identity provider's answer has no code. Log in again.")
        try:
            token = await self._site.authorize_access_token(request)
        except OAuthError as error:
            refused = error.error == "access_denied"
            raise NotLoggedIn(
                "You, or the identity provider, said no." if refused else "The log-in did not succeed."
            ) from error
        except (JoseError, ValueError) as error:  # the ID token: its signature, issuer, audience, nonce or times
            raise NotLoggedIn("The identity provider's answer does not fit to this log-in.") from error
        except httpx2.HTTPError as error:
            raise NotLoggedIn("The identity provider does not answer; try again later.") from error
        if "userinfo" not in token:
            raise NotLoggedIn("The identity provider did not say who logged in.")
        request.session.clear()
        request.session.update(tokens=_kept(token), subject=token["userinfo"]["sub"])
        request.state.renew_session = True  # what somebody may have known before is worth nothing now

    async def access_token(self, session: Session, *, fresh: bool) -> str:
        """A token that counts for a while yet.

        Args:
            fresh: whether a new one is needed in any case.

        Raises:
            LogInAgain: there is none, and the issuer gives none.
        """
        before = session.data.get("tokens")
        async with session.refreshing:  # requests of one user at the same time renew once
            tokens = session.data.get("tokens")
            if tokens is None:
                raise LogInAgain
            wanted = tokens["ends"] - EARLY_SECONDS < time.time() or (fresh and tokens is before)
            if wanted:
                tokens = session.data["tokens"] = await self._renewed(session, tokens)
            return str(tokens["access"])

    async def _renewed(self, session: Session, tokens: dict[str, Any]) -> dict[str, Any]:
        try:
            if not tokens["refresh"]:
                raise LogInAgain
            given = await self._site.fetch_access_token(grant_type="refresh_token", refresh_token=tokens["refresh"])
        except (OAuthError, LogInAgain) as error:
            session.data.clear()
            raise LogInAgain from error
        except httpx2.HTTPError as error:
            raise NotLoggedIn("The identity provider does not answer; try again later.") from error
        renewed = _kept(given)
        return renewed | {"refresh": renewed["refresh"] or tokens["refresh"]}


def _kept(token: dict[str, Any]) -> dict[str, Any]:
    return {
        "access": token["access_token"],
        "refresh": token.get("refresh_token", ""),
        "ends": time.time() + float(token.get("expires_in", 60)),
    }
