#!/usr/bin/python3 -IS
"""The filter's launcher, as the fault tests put it into their own node in place of the shipped one: kills the filter at a named point.

The filter itself is the shipped file, unchanged, and knows nothing of this. A point is armed by a file
armed/<point>@<operation> beside this one that the user who runs the filter can remove: it is removed, so that it strikes once.
"""

import os
import signal
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parent))

import goldcrest_ssh_filter as shipped  # noqa: E402

ARMED = Path(__file__).resolve().parent / "armed"


def strike(point, operation):
    try:
        (ARMED / "@".join((point, operation))).unlink()
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def around_verification(check):
    def checked(self, certificate, now):
        strike("before-verification", shipped.parse_command(certificate)["op"])
        command = check(self, certificate, now)
        strike("after-verification", command["op"])
        return command

    return checked


def around_exec(spawn):
    def spawned(self, request, run, deadline):
        strike("before-exec", request.command["op"])
        spawn(self, request, run, deadline)
        strike("after-exec", request.command["op"])

    return spawned


def before_answer(finish):
    def finished(self, request, result):
        strike("before-answer", request.command["op"])
        finish(self, request, result)

    return finished


shipped.Session.check_command = around_verification(shipped.Session.check_command)
shipped.Channel.spawn = around_exec(shipped.Channel.spawn)
shipped.Channel.finish = before_answer(shipped.Channel.finish)

sys.exit(shipped.main(sys.argv[1:]))
