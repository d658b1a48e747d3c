"""Typed commands: one class for each operation of docs/protocol.md. A command is what a certificate is signed for."""

from goldcrest.commands.base import Command, Payload, command_from, register
from goldcrest.commands.files import Checksum, MakeDirectory, ReadFile, StatFile, WhoAmI, WriteFile
from goldcrest.commands.slurm import (
    Account,
    Cancel,
    CommandOutput,
    Describe,
    Find,
    Hold,
    Queue,
    Release,
    Submit,
)
from goldcrest.commands.usage import JobUsage
from goldcrest.sbatch.options import SubmitOptions

__all__ = [
    "Account",
    "Cancel",
    "Checksum",
    "Command",
    "CommandOutput",
    "Describe",
    "Find",
    "Hold",
    "JobUsage",
    "MakeDirectory",
    "Payload",
    "Queue",
    "ReadFile",
    "Release",
    "StatFile",
    "Submit",
    "SubmitOptions",
    "WhoAmI",
    "WriteFile",
    "command_from",
    "register",
]
