"""What an operation may ask its driver to do.

An operation is a generator. It yields a step; the driver does it, synchronously or not, and sends the outcome back in
or throws the error.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

from maas_client._calls import Answer, Call
from maas_client._deadline import Deadline
from maas_client.errors import MaasClientError

_T = TypeVar("_T")


class Exchange(NamedTuple):
    """Make this call; the outcome is its answer.

    Attributes:
        endpoint: the index of the server to call.
    """

    call: Call
    deadline: Deadline
    endpoint: int


class Pause(NamedTuple):
    """Wait; there is no outcome."""

    duration_s: float


class Race(NamedTuple):
    """Make the first call and, where it has no answer after some time, the second too; the outcome is a :class:`Raced`.

    The first answer counts. Errors of the calls are part of the outcome, so that each server has its own.

    Attributes:
        first: this one at once.
        second: the same call, at another server where there is one.
        after_s: seconds from the first to the second.
    """

    first: Exchange
    second: Exchange
    after_s: float


class Raced(NamedTuple):
    """How a race ended.

    Attributes:
        answer: the first that came; None where there is none.
        endpoint: the index of the server that gave it, or failed last.
        attempts: how many of the two calls were made.
        failures: the index of a server, and how its call failed.
    """

    answer: Answer | None
    endpoint: int
    attempts: int
    failures: tuple[tuple[int, MaasClientError], ...] = ()


class Together(NamedTuple):
    """Do all of these at the same time; the outcome is the list of their results, in order.

    When one fails, its error is thrown once all have ended.
    """

    operations: Sequence[Operation[Any]]


Step = Exchange | Race | Pause | Together
Operation = Generator[Step, Any, _T]
