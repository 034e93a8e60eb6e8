"""Errors that a user can mend, and the exit codes of the ``maas`` program.

Every error that a command shows is a :class:`click.ClickException`, so that a package which may not import this one
(``maas_client``) can raise its own and still be shown in the same way: one line, no traceback, its own exit code.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import ValidationError


class ExitCode(IntEnum):
    """What the ``maas`` program ends with (README, "Commands")."""

    DONE = 0
    NOT_HELD = 1
    """What was asked for did not hold: a verification, an objective, a refused rollout."""
    WRONG_USE = 2
    NOT_REACHABLE = 3
    NOT_VALID = 4
    """A measurement that is not valid."""


class MaasError(click.ClickException):
    """Something the user can mend.

    Args:
        message: what was wanted and what came, in one sentence.
        mend: what to do about it, in one sentence.
    """

    exit_code = ExitCode.NOT_HELD

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(f"{message}; {mend}" if mend else message)
        self.mend = mend


class WrongUse(MaasError):
    """The command line or a file named on it cannot be used as it is."""

    exit_code = ExitCode.WRONG_USE


class NotHeld(MaasError):
    """A check that was asked for failed."""

    exit_code = ExitCode.NOT_HELD


class NotReachable(MaasError):
    """A server did not answer."""

    exit_code = ExitCode.NOT_REACHABLE


class PortTaken(WrongUse):
    """Another process listens where a server should."""


def first_problem(error: ValidationError, whole: str) -> str:
    """Which field was refused first, and why: ``weights: the steps must rise``.

    Args:
        error: pydantic's.
        whole: what to name where it is no single field that is wrong; may be empty.
    """
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or whole
    # What a validator of ours raised; pydantic's own message begins with the name of the exception's class.
    why = str(first.get("ctx", {}).get("error") or first["msg"])
    return f"{where}: {why}" if where else why
