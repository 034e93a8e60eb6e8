"""The exit codes of the client's commands, and which of the library's errors becomes which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from maas_client._cli.options import GIVE_A_KEY


class NotHeld(click.ClickException):
    """An input got no answer."""

    exit_code = 1


class WrongUse(click.ClickException):
    """The command line, or a file named on it, cannot be used as it is."""

    exit_code = 2


class NotReachable(click.ClickException):
    """The server did not answer."""

    exit_code = 3


class NotValid(click.ClickException):
    """What was measured says nothing."""

    exit_code = 4


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Turns an error of the library into one line and an exit code."""
    # Imported here: the list of all commands needs none of it.
    from maas_client.errors import (
        AuthenticationError,
        BadAnswerError,
        InputError,
        NotFoundError,
        ServerError,
        TransportError,
    )

    try:
        yield
    except (InputError, NotFoundError) as error:
        raise WrongUse(str(error)) from error
    except AuthenticationError as error:
        raise WrongUse(f"{error}; {GIVE_A_KEY}") from error
    except (BadAnswerError, ServerError) as error:
        raise NotHeld(str(error)) from error
    except TransportError as error:
        raise NotReachable(str(error)) from error
