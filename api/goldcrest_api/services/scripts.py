"""Where a batch script goes: into the spec, or onto the system with its digest in the spec.

The lines of a script that the spec only names are not seen by those who decide, so what they say becomes fields (T9).
"""

from __future__ import annotations

import base64
import posixpath
from dataclasses import dataclass, field
from typing import Any

from goldcrest.canonical import sha256_hex
from goldcrest.commands import Checksum, Command, MakeDirectory, Payload, ReadFile, WhoAmI, WriteFile
from goldcrest.commands.base import check_path
from goldcrest.errors import CommandFailed, Conflict, InvalidInput
from goldcrest.models.job import INLINE_SCRIPT_LIMIT
from goldcrest.sbatch import directives_of, fields_of
from goldcrest.telemetry import Trace
from goldcrest.wellknown import token_directory
from goldcrest_api.caller import Caller
from goldcrest_api.names import script_name
from goldcrest_api.ports import RemoteAnswer, RemoteCommands
from goldcrest_api.system_cache import SystemView


@dataclass(frozen=True, slots=True)
class UploadedScript:
    """A script that came with the request, with the file name that the client gave."""

    file_name: str
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        return script_name(self.file_name)


@dataclass(frozen=True, slots=True)
class RemoteScript:
    """A script that lies on the system."""

    path: str

    @property
    def name(self) -> str:
        return script_name(self.path.rpartition("/")[2])

    @property
    def directory(self) -> str:
        return self.path.rpartition("/")[0] or "/"


def held_in_spec(script: UploadedScript) -> dict[str, Any] | None:
    """``spec.script`` of a script that fits into the resource; None for a larger one."""
    if len(script.content) > INLINE_SCRIPT_LIMIT:
        return None
    try:
        text = script.content.decode()
    except UnicodeDecodeError:
        text = "\0"
    # A NUL is legal JSON, but not every tool that shows or applies resources takes it.
    if "\0" in text:
        return {"base64": base64.b64encode(script.content).decode(), "name": script.name}
    return {"inline": text, "name": script.name}


def _on_system(path: str, content: bytes, name: str) -> dict[str, Any]:
    script = {"path": path, "sha256": sha256_hex(content), "name": name}
    return {**fields_of(directives_of(content)), "script": script}


class ScriptStore:
    """Scripts on the systems.

    Args:
        path_limit: bytes of a script that lies on the system; it is read here.
        seconds: time for one file operation.
    """

    def __init__(self, remote: RemoteCommands, *, path_limit: int, seconds: float) -> None:
        self._remote = remote
        self._path_limit = path_limit
        self._seconds = seconds

    async def locate(self, script: RemoteScript, *, system: SystemView, caller: Caller, trace: Trace) -> dict[str, Any]:
        """Fields of the spec for a script on the system: its path, the digest of its bytes as they are now, what its lines say, and its
        folder to run in. A path that is relative begins in the user's home.

        Raises:
            CommandFailed: it cannot be read, or is too large.
            InvalidInput: a line of it is refused, or nobody knows where a relative path begins.
            GoldcrestError: what kept the command from being run.
        """
        script = await self._absolute(script, system, caller, trace)
        answer = await self._run(ReadFile(script.path, 0, self._path_limit + 1), system, caller, trace)
        if len(answer.data) > self._path_limit:
            raise CommandFailed(f"the script is larger than {self._path_limit} bytes", kind="limit", path=script.path)
        return {**_on_system(script.path, answer.data, script.name), "workingDirectory": script.directory}

    async def place(
        self, script: UploadedScript, *, token: str, system: SystemView, caller: Caller, trace: Trace
    ) -> dict[str, Any]:
        """Write a large script into the job's directory; fields of the spec that name it and say what its lines say.

        Raises:
            InvalidInput: a line of it is refused; nothing was written.
            Conflict: another script is there already (a repeated request with other content).
            CommandFailed: it cannot be written.
            GoldcrestError: what kept the command from being run.
        """
        work_directory = system.spec.work_directory_of(caller.user).rstrip("/")
        directory = f"{work_directory}/goldcrest/{token_directory(token)}"
        path = f"{directory}/{script.name}"
        fields = _on_system(path, script.content, script.name)
        await self._run(MakeDirectory(directory, parents=True, mode=0o700), system, caller, trace)
        write = WriteFile(path, Payload.of(script.content), mode=0o700, overwrite=False)
        try:
            await self._run(write, system, caller, trace, payload=script.content)
        except CommandFailed as error:
            if error.errno_name != "EEXIST":
                raise
            there = await self._run(Checksum(path, self._path_limit), system, caller, trace)
            if there.result["sha256"] != fields["script"]["sha256"]:
                raise Conflict(f"{path} is there already, with other content") from error
        return fields

    async def _absolute(self, script: RemoteScript, system: SystemView, caller: Caller, trace: Trace) -> RemoteScript:
        if script.path.startswith("/"):
            return script
        home = (await self._run(WhoAmI(), system, caller, trace)).result.get("home")
        if not isinstance(home, str):
            raise InvalidInput(
                f"{system.name} does not say where {script.path!r} begins (its ssh-filter is older): give the whole path"
            )
        path = posixpath.normpath(posixpath.join(check_path(home, name="home"), script.path))
        return RemoteScript(check_path(path, name="targetPath"))

    async def _run(
        self, command: Command, system: SystemView, caller: Caller, trace: Trace, *, payload: bytes = b""
    ) -> RemoteAnswer:
        return await self._remote.run(
            command,
            system=system.name,
            spec=system.spec,
            user=caller.user,
            basis=caller.basis,
            trace=trace,
            payload=payload,
            seconds=self._seconds,
        )
