"""Entry point ``goldcrest-operator``."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from pydantic import ValidationError

from goldcrest.errors import GoldcrestError
from goldcrest.telemetry import Log, configure_logging
from goldcrest_operator import process
from goldcrest_operator.settings import OperatorSettings
from goldcrest_operator.settings_help import help_text

_log = Log(__name__)


def main() -> None:
    """Run the operator; exit status 2 for settings that do not fit."""
    if len(sys.argv) > 1:
        what = "Reconciles Jobs and Systems: submits, follows, cancels, and writes down what happened."
        sys.stdout.write(help_text(OperatorSettings, program="goldcrest-operator", what=what))
        sys.exit(0 if sys.argv[1:] == ["--help"] else 2)
    try:
        settings = OperatorSettings()
    except ValidationError as error:
        for fault in error.errors():
            name = "GOLDCREST_OPERATOR_" + "__".join(str(part).upper() for part in fault["loc"])
            sys.stderr.write(f"{name}: {fault['msg']}\n")
        sys.exit(2)
    configure_logging("operator", level=settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(process.run(settings))
    except GoldcrestError as error:
        _log.error("operator.failed", code=error.code, message=error.message)
        status = 2
    sys.exit(status)
