"""The gate on restarts: a candidate whose server or stubs die goes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from maas_rollout.ports import Address, Judgement
from maas_server.state_file import read_states


@dataclass(frozen=True)
class Deaths:
    """What a supervisor had to mend since it started."""

    server_restarts: int = 0
    stub_deaths: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.server_restarts + self.stub_deaths


def deaths_of(address: Address | None) -> Deaths | None:
    """Deaths under the supervisor at ``address``; ``None`` where it does not run."""
    if address is None:
        return None
    state = next((state for state in read_states() if state.pid == address.pid and not state.is_stale), None)
    if state is None:
        return Deaths(address.restarts)
    return Deaths(max(address.restarts, state.restarts), sum(state.stub_deaths.values()))


class RestartsGate:
    """Counts from the candidate's start: what died before anybody called it dies again.

    Where the stable's processes died since this gate first looked, too, the machine may be at fault: then it holds.

    Args:
        stable: asks for the stable server's address.
        candidate: likewise the candidate's.
        count: deaths of a server.
    """

    name = "restarts"

    def __init__(
        self,
        stable: Callable[[], Address | None],
        candidate: Callable[[], Address | None],
        count: Callable[[Address | None], Deaths | None] = deaths_of,
    ) -> None:
        self._stable = stable
        self._candidate = candidate
        self._count = count
        self._stable_before: int | None = None

    def judge(self, model: str, since: datetime) -> Judgement:
        """See :class:`maas_rollout.ports.Gate`."""
        deaths, of_stable = self._count(self._candidate()), self._count(self._stable())
        if deaths is None:
            return Judgement("back", ["the candidate's server is gone"])
        stable_total = of_stable.total if of_stable is not None else 0
        if self._stable_before is None:
            self._stable_before = stable_total
        stable_died = of_stable is None or stable_total > self._stable_before
        evidence = {**asdict(deaths), "stable_died_too": stable_died}
        if not deaths.total:
            return Judgement("go", ["no process of the candidate died"], evidence)
        words = f"deaths under the candidate: server {deaths.server_restarts}, stubs {deaths.stub_deaths}"
        if stable_died:
            return Judgement("hold", [f"{words}, but the stable's processes died, too"], evidence)
        return Judgement("back", [words], evidence)
