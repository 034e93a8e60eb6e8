"""Which of several servers a call goes to: round robin over those that answer, with a circuit breaker for each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from maas_client._forks import ForkSafeLock
from maas_client._url import Endpoint
from maas_client.errors import (
    BadAnswerError,
    CircuitOpenError,
    ConnectionLostError,
    DeadlineExceededError,
    MaasClientError,
    RefusedValueError,
    ServerError,
    UnavailableError,
    UnreachableError,
)

_NO_ANSWER = (UnreachableError, ConnectionLostError, UnavailableError, DeadlineExceededError, BadAnswerError)


@dataclass(frozen=True, slots=True)
class Breaker:
    """Keeps calls away from a server that does not answer.

    Attributes:
        failures: so many failures in a row (unreachable, connection lost, unavailable, no
            answer in time, none that follows the protocol) open the circuit.
        open_s: seconds until one caller asks the server again whether it is ready.

    Raises:
        RefusedValueError: a value makes no sense.
    """

    failures: int = 5
    open_s: float = 1.0

    def __post_init__(self) -> None:
        if self.failures < 1 or self.open_s <= 0:
            raise RefusedValueError(f"Breaker wants failures >= 1 and open_s > 0, got {self!r}")


class Circuit:
    """The state of one endpoint; shared by threads."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._lock = ForkSafeLock()
        self._failures = 0
        self._try_at = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether calls may go there."""
        return self._failures < self._breaker.failures

    def may_probe(self) -> bool:
        """Whether this caller is to ask the server if it is back; true for one caller in each ``open_s``."""
        with self._lock:
            if self.is_closed or time.monotonic() < self._try_at:
                return False
            self._try_at = time.monotonic() + self._breaker.open_s
            return True

    def succeeded(self) -> None:
        """An answer came."""
        if self._failures:
            with self._lock:
                self._failures = 0

    def failed(self, error: MaasClientError) -> None:
        """A call ended with this error; most errors are answers of a server that works.

        What was refused or cancelled here says nothing of the server.
        """
        if not isinstance(error, _NO_ANSWER):
            if isinstance(error, ServerError):
                self.succeeded()
            return
        with self._lock:
            self._failures += 1
            if not self.is_closed:
                self._try_at = time.monotonic() + self._breaker.open_s


class Endpoints:
    """The servers of one client."""

    def __init__(self, addresses: Sequence[Endpoint], breaker: Breaker) -> None:
        self.addresses = tuple(addresses)
        self.circuits = tuple(Circuit(breaker) for _ in addresses)
        self._turn = itertools.count()

    def other_than(self, index: int) -> int:
        """Another endpoint that answers; the same where there is none."""
        others = [(index + offset) % len(self.circuits) for offset in range(1, len(self.circuits))]
        return next((other for other in others if self.circuits[other].is_closed), index)

    def choose(self, but: Collection[int] = ()) -> tuple[int, bool]:
        """The index of the endpoint whose turn it is, and whether it must be asked first if it is ready.

        Args:
            but: endpoints that were asked in vain.

        Raises:
            CircuitOpenError: none of them answered lately.
        """
        if len(self.circuits) == 1 and self.circuits[0].is_closed:
            return 0, False
        start = next(self._turn)
        order = [(start + offset) % len(self.circuits) for offset in range(len(self.circuits))]
        for index in [one for one in order if one not in but]:
            if self.circuits[index].is_closed:
                return index, False
            if self.circuits[index].may_probe():
                return index, True
        names = ", ".join(str(address) for address in self.addresses)
        raise CircuitOpenError(f"no call was made: {names} did not answer lately; try again in a second")
