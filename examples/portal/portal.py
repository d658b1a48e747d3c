#!/usr/bin/env python3
"""A small portal: people log in at their centre's identity provider, see who they are on a system, and run a batch job.

    pip install authlib httpx2 starlette uvicorn python-multipart
    PORTAL_ISSUER=https://idp.example.org/realms/hpc PORTAL_CLIENT_ID=portal PORTAL_CLIENT_SECRET=… \\
    PORTAL_URL=https://portal.example.org PORTAL_API=https://api.example.org PORTAL_SYSTEM=cluster python3 examples/portal/portal.py

docs/portal.md explains it. No token leaves this process but to the API: not to the browser, into URLs, or into logs.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

import httpx2
import uvicorn
from api import Failed, Goldcrest, new_trace
from login import Client, Login, LogInAgain, NotLoggedIn
from sessions import Sessions
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

log = logging.getLogger("portal")

HEADERS = {
    # No scripts, nothing from elsewhere. The address of /callback holds the code: it goes nowhere.
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
SCRIPT = "#!/bin/bash\n#SBATCH --time=5\nhostname\n"


def create_app(settings: Mapping[str, str]) -> Starlette:
    """The portal.

    Args:
        settings: the variables above, and PORTAL_SCOPE.
    """
    url = settings["PORTAL_URL"].rstrip("/")
    app = Starlette(
        routes=[
            Route("/", home),
            Route("/login", log_in),
            Route("/callback", come_back),
            Route("/logout", log_out, methods=["POST"]),
            Route("/jobs", submit, methods=["POST"]),
            Route("/jobs/{task_id}", show),
        ],
        middleware=[Middleware(Sessions, secure=urlsplit(url).scheme == "https")],
        exception_handlers={LogInAgain: not_logged_in, NotLoggedIn: log_in_failed, Failed: failed},
    )
    app.state.settings = settings
    app.state.client = httpx2.AsyncClient(timeout=30)
    app.state.login = Login(
        Client(
            issuer=settings["PORTAL_ISSUER"],
            client_id=settings["PORTAL_CLIENT_ID"],
            client_secret=settings.get("PORTAL_CLIENT_SECRET"),
            scope=settings.get("PORTAL_SCOPE", "openid firecrest"),
            redirect_uri=url + "/callback",
        )
    )
    return app


def goldcrest(request: Request) -> Goldcrest:
    """The API, for who is logged in in this session."""
    settings, session = request.app.state.settings, request.state.session
    trace = new_trace()
    # The route, not the address: /callback's holds a code.
    log.info("%s %s trace=%s", request.method, request.scope["route"].path, trace.split("-")[1])
    return Goldcrest(
        request.app.state.client,
        url=settings["PORTAL_API"].rstrip("/"),
        system=settings["PORTAL_SYSTEM"],
        trace=trace,
        token=lambda fresh: request.app.state.login.access_token(session, fresh=fresh),
    )


async def home(request: Request) -> Response:
    """Who one is, and a form for a job."""
    user = await goldcrest(request).whoami()
    form_token = request.state.session.form_token
    # The key is made with the form: sent twice, by an impatient finger or by us, it is one job.
    return page(
        "Portal",
        f"<p>You are <b>{escape(user)}</b>.</p>"
        f'<form method="post" action="/jobs"><input type="hidden" name="form" value="{form_token}">'
        f'<input type="hidden" name="key" value="{secrets.token_urlsafe(16)}">'
        f'<p><textarea name="script" rows="8" cols="60">{SCRIPT}</textarea></p><button>Submit</button></form>'
        f'<form method="post" action="/logout"><input type="hidden" name="form" value="{form_token}"><button>Log out</button></form>',
    )


async def submit(request: Request) -> Response:
    """Submit a job, once."""
    form = await ours(request)
    script = str(form.get("script", "")).replace("\r\n", "\n")
    task_id = await goldcrest(request).submit(script, key=str(form.get("key", "")))
    return RedirectResponse(f"/jobs/{task_id}", status_code=303)


async def show(request: Request) -> Response:
    """How it is getting on."""
    task = await goldcrest(request).task(request.path_params["task_id"])
    return page(
        "Job",
        f"<p>{escape(str(task['status']))}: {escape(str(task['description']))}</p><pre>{escape(str(task.get('data')))}</pre>",
    )


async def log_in(request: Request) -> Response:
    """Off to the identity provider."""
    response = await request.app.state.login.begin(request)
    response.headers.update(HEADERS)
    return response


async def come_back(request: Request) -> Response:
    """And back."""
    await request.app.state.login.finish(request)
    return RedirectResponse("/", status_code=303, headers=HEADERS)


async def log_out(request: Request) -> Response:
    """Forget the tokens."""
    await ours(request)
    request.session.clear()
    return RedirectResponse("/", status_code=303, headers=HEADERS)


async def ours(request: Request) -> Mapping[str, object]:
    """A form that a page of ours sent."""
    form = await request.form()
    if not hmac.compare_digest(str(form.get("form", "")), request.state.session.form_token):
        raise LogInAgain
    return form


async def not_logged_in(_: Request, __: Exception) -> Response:
    return page("Log in", '<p><a href="/login">Log in</a></p>', status=401)


async def log_in_failed(_: Request, error: Exception) -> Response:
    log.warning("log-in failed: %s (%s)", error, type(error.__cause__).__name__)
    return page("Not logged in", f'<p>{escape(str(error))}</p><p><a href="/login">Log in</a></p>', status=400)


async def failed(_: Request, error: Exception) -> Response:
    """What Goldcrest said, what may be done about it, and what administrators need to find the reason."""
    assert isinstance(error, Failed)  # noqa: S101 - registered for this class only
    again = f"Trying again makes sense, in {error.after:g} s." if error.retryable else "Trying again does not help."
    if error.status == 401:
        again = 'Another log-in is needed: <a href="/login">Log in</a>'
    return page(
        "It did not work",
        f"<p>{escape(error.text)}</p><p>{again}</p>"
        f"<p>For your administrators: <code>{escape(error.code)}</code>, trace <code>{error.trace_id}</code></p>",
        status=502 if error.retryable or not error.status else 400,
    )


def page(title: str, body: str, *, status: int = 200) -> Response:
    """HTML; what is not ours in ``body`` was escaped."""
    html = f'<!doctype html><html lang="en"><title>{title}</title><h1>{title}</h1>{body}'
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def main() -> None:
    """Serve it at the address of PORTAL_URL's port, for a proxy with TLS before it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    app = create_app(os.environ)
    # uvicorn's own access log would hold the code of /callback.
    uvicorn.run(app, host="127.0.0.1", port=urlsplit(os.environ["PORTAL_URL"]).port or 8000, access_log=False)


if __name__ == "__main__":
    main()
