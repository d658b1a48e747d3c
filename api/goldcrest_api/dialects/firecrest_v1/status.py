"""``/status``: systems and parameters (contract section 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.models.system import Limits
from goldcrest_api.context import Context
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.call import Call, authenticated
from goldcrest_api.services.health import Health
from goldcrest_api.system_cache import SystemView

_HEALTH = {
    Health.READY: ("available", "System ready"),
    Health.REFUSING: ("not available", "System does not accept connections"),
    Health.DOWN: ("not available", "System down"),
}


async def systems(request: Request) -> Response:
    """All systems."""
    call = await authenticated(request)
    out = await asyncio.gather(*(_system(call, system) for system in call.context.systems.all()))
    return SortedJson({"description": "List of systems with status and description.", "out": out})


async def system(request: Request) -> Response:
    """One system."""
    call = await authenticated(request)
    view = call.context.systems.get(str(request.path_params["machine"]))
    if view is None:
        raise Refusal(404, description="System does not exists.")
    return SortedJson({"description": "System information", "out": await _system(call, view)})


async def parameters(request: Request) -> Response:
    """Versions and limits."""
    call = await authenticated(request)
    return SortedJson({"description": "Firecrest's parameters", "out": _parameters(call.context)})


async def _system(call: Call, view: SystemView) -> dict[str, str]:
    status, description = _HEALTH[await call.context.health.of(view, call.caller, call.trace)]
    return {"system": view.name, "status": status, "description": description}


def _parameters(context: Context) -> dict[str, list[dict[str, Any]]]:
    settings = context.settings
    filesystems = [
        {"system": view.name, "mounted": [system.path for system in view.spec.file_systems]}
        for view in context.systems.all()
    ]
    return {
        "general": [
            _parameter("FIRECREST_VERSION", settings.firecrest_version, "", "FirecREST version."),
            _parameter("FIRECREST_BUILD", settings.firecrest_version, "", "FirecREST build."),
        ],
        "compute": [
            _parameter("WORKLOAD_MANAGER", "Slurm", "", "Type of workload manager used in compute microservice"),
        ],
        "utilities": limit_parameters({view.name: view.spec.limits for view in context.systems.all()}),
        "storage": [
            _parameter("FILESYSTEMS", filesystems, "", "Filesystems of each system"),
        ],
    }


def limit_parameters(limits: Mapping[str, Limits]) -> list[dict[str, Any]]:
    """The limits of ``/utilities``: what holds on every system, under the contract's names, and a row more for each system that allows more.

    Args:
        limits: by name of the system.
    """
    size = {name: each.file_bytes // 2**20 for name, each in limits.items()}
    seconds = {name: each.seconds for name, each in limits.items()}
    return [
        *_rows("UTILITIES_MAX_FILE_SIZE", size, Limits().file_bytes // 2**20, "MB",
               "The maximum allowable file size for various operations of the utilities microservice"),
        *_rows("UTILITIES_TIMEOUT", seconds, Limits().seconds, "seconds",
               "Maximum time duration for executing the commands in the cluster for the utilities microservice."),
    ]  # fmt: skip


def _rows(name: str, values: Mapping[str, int], usual: int, unit: str, description: str) -> Iterator[dict[str, Any]]:
    least = min(values.values(), default=usual)
    yield _parameter(name, str(least), unit, description)
    for system, value in sorted(values.items()):
        if value != least:
            yield _parameter(f"{name}.{system}", str(value), unit, f"{description.rstrip('.')}, on {system}")


def _parameter(name: str, value: Any, unit: str, description: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "description": description}
