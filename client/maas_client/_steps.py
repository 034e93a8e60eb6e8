"""What an operation may ask its driver to do.

An operation is a generator. It yields a step; the driver does it, synchronously or not, and sends the outcome back in
or throws the error.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

from maas_client._calls import Call
from maas_client._deadline import Deadline

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


class Together(NamedTuple):
    """Do all of these at the same time; the outcome is the list of their results, in order.

    When one fails, its error is thrown once all have ended.
    """

    operations: Sequence[Operation[Any]]


Step = Exchange | Pause | Together
Operation = Generator[Step, Any, _T]
