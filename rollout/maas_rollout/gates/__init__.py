"""Gates: may the candidate have more of the traffic? Go, hold or back, each with its reasons and its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maas_core.errors import NotReachable, WrongUse
from maas_core.golden import GOLDEN_FILE
from maas_gateway.routing import Split, read_routing
from maas_rollout.gates.answers import GoldenGate, MirroredGate
from maas_rollout.gates.error_rate import ErrorRateGate
from maas_rollout.gates.latency import LatencyGate
from maas_rollout.gates.memory import MemoryGate
from maas_rollout.gates.objective import ObjectiveGate
from maas_rollout.gates.restarts import RestartsGate
from maas_rollout.gates.settings import GateSettings
from maas_rollout.gates.throughput import ThroughputGate
from maas_rollout.gates.traffic import Traffic
from maas_rollout.golden_check import check_golden
from maas_rollout.ports import Gate, GateContext

__all__ = ["GateSettings", "gates_for"]


def gates_for(context: GateContext, settings: GateSettings | None = None) -> Sequence[Gate]:
    """The gates of one rollout; each is asked about once a second.

    Args:
        context: what they may look at.
        settings: their limits; by default those of :class:`GateSettings`, and of ``context``.
    """
    settings = settings or GateSettings(max_different=context.max_different)
    traffic = Traffic(context.gateway_state, context.model)

    def split() -> Split:
        try:
            return read_routing(context.gateway_state).splits.get(context.model, Split())
        except WrongUse:
            return Split()

    def is_mirrored() -> bool:
        return split().mirror_percent > 0

    def is_shadow() -> bool:
        return split().candidate_percent == 0 and is_mirrored()

    return [
        ErrorRateGate(traffic, settings, is_shadow),
        LatencyGate(traffic, settings, is_shadow, context.objective.p99_ms),
        ThroughputGate(traffic, settings, is_shadow),
        ObjectiveGate(traffic, settings, is_shadow, context.objective),
        GoldenGate(lambda: _golden(context)),
        MirroredGate(context.gateway_state, settings, is_mirrored),
        MemoryGate(context.stable, context.candidate, settings),
        RestartsGate(context.stable, context.candidate),
    ]


def _golden(context: GateContext) -> dict[str, Any]:
    """Asks the candidate the golden samples of every version of the unit that has some."""
    address = context.candidate()
    if address is None:
        raise NotReachable("the candidate does not run")
    folders = [context.repository / model / str(version) for model, version in context.unit.items()]
    urls = (f"http://{address.http}", f"grpc://{address.grpc}")
    return {folder.parent.name: check_golden(folder, urls) for folder in folders if (folder / GOLDEN_FILE).is_file()}
