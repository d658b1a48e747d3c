"""Typed commands: one class for each operation of docs/protocol.md. A command is what a certificate is signed for."""

from goldcrest.commands.archives import ArchiveFormat, Compress, Extract
from goldcrest.commands.base import Command, Payload, command_from, register
from goldcrest.commands.changing import ChangeMode, ChangeOwner, Copy, MakeLink, Remove, Rename
from goldcrest.commands.files import Checksum, FileType, MakeDirectory, ReadFile, StatFile, WhoAmI, WriteFile
from goldcrest.commands.listing import ListDirectory
from goldcrest.commands.parts import Head, Tail
from goldcrest.commands.queries import History, Kill, ListJobs, Nodes, Partitions, Reservations
from goldcrest.commands.quota import ShowQuota
from goldcrest.commands.reservations import CreateReservation, DeleteReservation, ListReservations, UpdateReservation
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
    "ArchiveFormat",
    "Cancel",
    "ChangeMode",
    "ChangeOwner",
    "Checksum",
    "Command",
    "CommandOutput",
    "Compress",
    "Copy",
    "CreateReservation",
    "DeleteReservation",
    "Describe",
    "Extract",
    "FileType",
    "Find",
    "Head",
    "History",
    "Hold",
    "JobUsage",
    "Kill",
    "ListDirectory",
    "ListJobs",
    "ListReservations",
    "MakeDirectory",
    "MakeLink",
    "Nodes",
    "Partitions",
    "Payload",
    "Queue",
    "ReadFile",
    "Release",
    "Remove",
    "Rename",
    "Reservations",
    "ShowQuota",
    "StatFile",
    "Submit",
    "SubmitOptions",
    "Tail",
    "UpdateReservation",
    "WhoAmI",
    "WriteFile",
    "command_from",
    "register",
]
