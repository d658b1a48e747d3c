"""What a request costs at the least: one Starlette route that answers a constant, served as the gateway is. `python bench/bare_route.py --port N`."""

from __future__ import annotations

import argparse
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def _constant(_: Request) -> Response:
    return JSONResponse({"success": "ack"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of loopback")
    app = Starlette(routes=[Route("/constant", _constant)])
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
