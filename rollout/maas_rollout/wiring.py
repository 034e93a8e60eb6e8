"""The real world around a rollout: servers, gateway, load test, gates, time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from maas_rollout.gates import gates_for
from maas_rollout.load_check import ShortLoadTest
from maas_rollout.routed import RoutedGateway
from maas_rollout.servers import CandidateServer, ServedView
from maas_rollout.state import RolloutState
from maas_rollout.world import Ports


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """See :class:`maas_rollout.ports.Clock`."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """See :class:`maas_rollout.ports.Clock`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See :class:`maas_rollout.ports.Clock`."""
        time.sleep(seconds)


def ports_of(state: RolloutState) -> Ports:
    """The servers and the gateway that the rollout's settings name."""
    settings = state.settings
    return Ports(
        gateway=RoutedGateway(Path(settings.gateway_state)),
        server=ServedView(settings.stable_view, state.repository),
        candidate=CandidateServer(state.model, state.repository, settings.load_timeout_s),
        load_test=ShortLoadTest(state.repository, settings.load_rate_per_s, settings.load_s),
        gates_for=gates_for,
        clock=SystemClock(),
    )
