"""``/status``: systems and parameters (contract section 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.models.system import Limits
from goldcrest_api.codes import UNKNOWN_SYSTEM, code_headers
from goldcrest_api.context import Context
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.call import Call, authenticated
from goldcrest_api.request_scope import maintenance_of
from goldcrest_api.services.health import Health
from goldcrest_api.system_cache import SystemView

_AVAILABLE: Final = "available"
_NOT_AVAILABLE: Final = "not available"
_HEALTH: Final = {
    Health.READY: (_AVAILABLE, "System ready"),
    Health.REFUSING: (_NOT_AVAILABLE, "System does not accept connections"),
    Health.DOWN: (_NOT_AVAILABLE, "System down"),
}
# Those of the original that are there. All are this process; what may be missing are delegation, which signs, and the watch of Jobs.
_SERVICES: Final = {
    "certificator": ("delegation",),
    "compute": ("delegation", "watch"),
    "reservations": ("delegation",),
    "tasks": ("watch",),
    "utilities": ("delegation",),
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
        raise Refusal(404, description="System does not exists.", code=UNKNOWN_SYSTEM)
    out, file_systems = await asyncio.gather(
        _system(call, view), call.context.health.file_systems(view, call.caller, call.trace, anew=_anew(request))
    )
    silent = [one.name for one, answers in file_systems if not answers]
    if silent and out["status"] == _AVAILABLE:
        out["description"] = f"Filesystem {','.join(silent)} is not available"
    return SortedJson({"description": "System information", "out": out})


async def filesystems(request: Request) -> Response:
    """The file systems of all systems."""
    call = await authenticated(request)
    views = call.context.systems.all()
    found = await asyncio.gather(*(_filesystems(call, view) for view in views))
    out = {view.name: rows for view, rows in zip(views, found, strict=True)}
    return SortedJson({"description": "Filesystem information", "out": out})


async def filesystems_of(request: Request) -> Response:
    """The file systems of one system."""
    call = await authenticated(request)
    name = str(request.path_params["machine"])
    description = f"Filesystem information for system {name}"
    view = call.context.systems.get(name)
    if view is None:
        told = {"description": description, "out": f"System '{name}' doesn't exist"}
        return SortedJson(told, status_code=404, headers=code_headers(UNKNOWN_SYSTEM))
    return SortedJson({"description": description, "out": await _filesystems(call, view)})


async def services(request: Request) -> Response:
    """The services of the gateway."""
    call = await authenticated(request)
    out = [_service(call, name, down_code=503) for name in _SERVICES]
    return SortedJson({"description": "List of services with status and description.", "out": out})


async def service(request: Request) -> Response:
    """One service of the gateway."""
    call = await authenticated(request)
    name = str(request.path_params["service"])
    if name not in _SERVICES:
        return SortedJson({"description": "Service does not exists", "status_code": 404}, status_code=404)
    return SortedJson(_service(call, name, down_code=400))


async def parameters(request: Request) -> Response:
    """Versions and limits."""
    call = await authenticated(request)
    return SortedJson({"description": "Firecrest's parameters", "out": _parameters(call.context)})


async def _system(call: Call, view: SystemView) -> dict[str, str]:
    if view.name in maintenance_of(call.request).systems:
        health = Health.REFUSING
    else:
        health = await call.context.health.of(view, call.caller, call.trace)
    status, description = _HEALTH[health]
    return {"system": view.name, "status": status, "description": description}


async def _filesystems(call: Call, view: SystemView) -> list[dict[str, Any]]:
    found = await call.context.health.file_systems(view, call.caller, call.trace, anew=_anew(call.request))
    return [
        {
            "name": one.name,
            "path": one.path,
            "description": one.description or "",
            "status": _AVAILABLE if answers else _NOT_AVAILABLE,
            "status_code": 200 if answers else 400,
        }
        for one, answers in found
    ]


def _anew(request: Request) -> bool:
    """Whether what is remembered shall not count (contract 3.1)."""
    return "no-cache" in request.headers.get("cache-control", "").lower()


def _service(call: Call, name: str, *, down_code: int) -> dict[str, Any]:
    missing = {
        "delegation": call.context.delegation_silent() > 0,
        "watch": call.context.unready() is not None,
    }
    if not any(missing[part] for part in _SERVICES[name]):
        status, code, description = _AVAILABLE, 200, "server up & flask running"
    elif name == "certificator":
        status, code, description = _NOT_AVAILABLE, 400, "server down"
    else:
        status, code, description = _NOT_AVAILABLE, down_code, "server up, flask down"
    return {"service": name, "status": status, "status_code": code, "description": description}


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
    """The limits of ``/utilities``: what holds on every system, under the contract's names, and a row more for each system that allows more,
    and for each of its operations that has its own.

    Args:
        limits: by name of the system.
    """
    size = {name: each.file_bytes() // 2**20 for name, each in limits.items()}
    seconds = {name: each.seconds() for name, each in limits.items()}
    own = [(name, one) for name, each in sorted(limits.items()) for one in each.operations]
    own_size = {(name, one.operation): one.max_file_size_mib for name, one in own if one.max_file_size_mib}
    own_seconds = {(name, one.operation): one.seconds for name, one in own if one.seconds}
    return [
        *_rows("UTILITIES_MAX_FILE_SIZE", size, own_size, Limits().file_bytes() // 2**20, "MB",
               "The maximum allowable file size for various operations of the utilities microservice"),
        *_rows("UTILITIES_TIMEOUT", seconds, own_seconds, Limits().seconds(), "seconds",
               "Maximum time duration for executing the commands in the cluster for the utilities microservice."),
    ]  # fmt: skip


def _rows(
    name: str, values: Mapping[str, int], own: Mapping[tuple[str, Any], int], usual: int, unit: str, description: str
) -> Iterator[dict[str, Any]]:
    """``own``: by system and operation."""
    least = min(values.values(), default=usual)
    yield _parameter(name, str(least), unit, description)
    for system, value in sorted(values.items()):
        if value != least:
            yield _parameter(f"{name}.{system}", str(value), unit, f"{description.rstrip('.')}, on {system}")
    for (system, operation), value in own.items():
        told = f"{description.rstrip('.')}, on {system}, of {operation}"
        yield _parameter(f"{name}.{system}.{operation}", str(value), unit, told)


def _parameter(name: str, value: Any, unit: str, description: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "description": description}
