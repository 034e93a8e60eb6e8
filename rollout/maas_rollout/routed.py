"""The gateway, as a rollout needs it: a routing that it writes, and the gateway's record of requests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from maas_core.errors import NotReachable, WrongUse
from maas_gateway.routing import Routing, Split, Upstream, read_routing, update_routing, wait_applied
from maas_rollout.gates.metering import PATTERN, LineReader, seconds
from maas_rollout.ports import Address, Side

_APPLY_TIMEOUT_S = 5.0


class RoutedGateway:
    """A running ``maas gateway``.

    Args:
        state_dir: its state folder.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    def set_split(
        self, models: Mapping[str, int], candidate: Address | None, *, percent: int = 0, mirror_percent: int = 0
    ) -> bool:
        """See :class:`maas_rollout.ports.Gateway`."""
        before = self._routing()
        splits = {
            model: Split(candidate_percent=percent, mirror_percent=mirror_percent, candidate_version=version or None)
            for model, version in models.items()
        }
        revision = update_routing(self._state_dir, lambda routing: _routed(routing, candidate, splits))
        wait_applied(self._state_dir, revision, _APPLY_TIMEOUT_S)
        return before != self._routing()

    def split(self, model: str) -> tuple[int, int]:
        """See :class:`maas_rollout.ports.Gateway`."""
        split = self._routing().splits.get(model, Split())
        return split.candidate_percent, split.mirror_percent

    def is_free_for(self, models: Sequence[str]) -> bool:
        """See :class:`maas_rollout.ports.Gateway`."""
        return _is_free_for(self._routing(), models)

    def live_sequences(self, models: Sequence[str], side: Side, idle_s: float) -> list[str]:
        """See :class:`maas_rollout.ports.Gateway`; by the record of requests, which says nothing of an end:

        a sequence that has ended counts as alive until it would have expired.
        """
        since_s = time.time() - idle_s
        lines = LineReader(self._state_dir / "usage", PATTERN, since_s)
        return sorted(
            {
                str(line["sequence"])
                for line in lines.new()
                if line.get("sequence")
                and line.get("side") == side
                and line.get("model") in models
                and seconds(line["at"]) >= since_s
            }
        )

    def _routing(self) -> Routing:
        try:
            return read_routing(self._state_dir)
        except WrongUse as error:
            raise NotReachable(f"no gateway ran with the state {self._state_dir}", "start `maas gateway`") from error


def _is_free_for(routing: Routing, models: Iterable[str]) -> bool:
    return routing.candidate is None or set(routing.splits) <= set(models)


def _routed(routing: Routing, candidate: Address | None, splits: Mapping[str, Split]) -> Routing:
    """The routing with other splits of these models.

    Raises:
        NotReachable: where the second server is another rollout's.
    """
    if not _is_free_for(routing, splits):
        others = ", ".join(sorted(routing.splits.keys() - splits.keys()))
        raise NotReachable(f"the gateway's second server is that of a rollout of {others}", "wait for it to end")
    if candidate is None:
        return Routing(stable=routing.stable)
    upstream = Upstream(http=candidate.http, grpc=candidate.grpc)
    return Routing(stable=routing.stable, candidate=upstream, splits=dict(splits))
