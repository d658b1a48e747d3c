"""Routes of ``/utilities`` that pack and unpack (contract 4, D19)."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands import ArchiveFormat, Compress, Extract
from goldcrest_api.dialects.firecrest_v1.answers import Refusal
from goldcrest_api.dialects.firecrest_v1.fields import is_true
from goldcrest_api.dialects.firecrest_v1.utilities_call import by_form
from goldcrest_api.dialects.firecrest_v1.utilities_changing import both_paths, done

FORMATS: Final = {
    ".zip": ArchiveFormat.ZIP,
    ".tar": ArchiveFormat.TAR,
    ".tgz": ArchiveFormat.TAR_GZIP,
    ".tar.gz": ArchiveFormat.TAR_GZIP,
    ".gz": ArchiveFormat.TAR_GZIP,
    ".bz2": ArchiveFormat.TAR_BZIP2,
}


async def compress(request: Request) -> Response:
    """Pack a file or directory into a tar archive with gzip; it appears when it is whole."""
    utility = await by_form(request, "compress")
    source, target = both_paths(utility)
    command = Compress(source.rstrip("/") or "/", target, dereference=is_true(utility.fields.get("dereference")))
    await utility.run(command, utility.step("tar", source=command.source, target=target))
    return done("compress file", "", status=201)


async def extract(request: Request) -> Response:
    """Unpack an archive into a directory."""
    utility = await by_form(request, "extract")
    source, target = both_paths(utility)
    kind = format_of(source, utility.fields.get("type") or utility.fields.get("extension") or "auto")
    if kind is None:
        raise Refusal(400, description=utility.description, error=f"Unsupported file format in {source}.")
    await utility.run(Extract(source, target, kind), utility.step("tar", source=source, target=target))
    return done("extract file", "", status=201)


def format_of(path: str, extension: str) -> ArchiveFormat | None:
    """The format that ``type`` or ``extension`` names, or the last suffix of the path with ``auto``; None: none that is known."""
    if extension != "auto":
        return FORMATS.get(extension)
    name = path.rpartition("/")[2]
    return FORMATS.get(f".{name.rpartition('.')[2]}") if "." in name else None
