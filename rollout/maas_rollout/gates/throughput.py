"""The gate on throughput: the candidate must go on answering as large a part of the requests as it did."""

from __future__ import annotations

from collections.abc import Sequence

from maas_rollout.gates.blocks import BLOCK_S, Block
from maas_rollout.gates.comparing import ComparingGate, percent, rounded
from maas_rollout.gates.sequential import SMALLER, Marked, ShareTest
from maas_rollout.ports import Judgement

_FIRST_S = 5.0
_HALF, _TENTH = 0.5, 0.1
_MOST_PER_BLOCK = 10.0
_RESTART_EVERY = 2


class ThroughputGate(ComparingGate):
    """Callers are bound to a server, so its share differs from the weight; it is held against its own beginning.

    What hangs is not written down before it ends, so that the other gates do not see it.
    """

    name = "throughput"

    def _begin(self) -> None:
        self._first: list[Block] = []
        # Evidence that the share is below half, and below a tenth, of what it was.
        self._below = {
            part: ShareTest(SMALLER, most_per_block=_MOST_PER_BLOCK, restart_every=_RESTART_EVERY)
            for part in (_HALF, _TENTH)
        }

    def _add(self, block: Block) -> None:
        if not block.is_same_time:
            return
        if sum(first.length_s for first in self._first) < _FIRST_S:
            self._first.append(block)
            return
        share = self._first_share()
        answered, of_stable = _good(block, "candidate"), _good(block, "stable")
        if share > 0 and answered + of_stable:
            for part, test in self._below.items():
                test.add([Marked(answered, of_stable, part * share)], block.length_s / BLOCK_S)

    def _first_share(self) -> float:
        answered = sum(_good(block, "candidate") for block in self._first)
        return answered / max(1, answered + sum(_good(block, "stable") for block in self._first))

    def _judge(self, blocks: Sequence[Block]) -> Judgement:
        settings = self._settings
        length_s = sum(block.length_s for block in blocks)
        answered = sum(_good(block, "candidate") for block in blocks)
        same_time = [block for block in blocks if block.is_same_time]
        of_stable = sum(_good(block, "stable") for block in same_time)
        evidence = {
            "seconds": rounded(length_s),
            "candidate_per_s": rounded(answered / length_s) if length_s else 0.0,
            "stable_per_s": rounded(of_stable / length_s) if length_s else 0.0,
            "candidate_items_per_s": rounded(sum(b.candidate.items for b in blocks) / length_s) if length_s else 0.0,
            "share_at_first": rounded(self._first_share()),
            "evidence_below_half": rounded(self._below[_HALF].peak),
            "evidence_below_a_tenth": rounded(self._below[_TENTH].peak),
            "back_from": rounded(settings.alarm),
        }
        ours, theirs = evidence["candidate_per_s"], evidence["stable_per_s"]
        words = (
            f"the candidate answers {ours:g} requests/s, the stable {theirs:g}; "
            f"its share began at {percent(self._first_share())}"
        )
        if self._below[_TENTH].peak >= settings.alarm:
            return Judgement("back", [f"{words} and has fallen below a tenth of that"], evidence)
        if self._below[_HALF].value >= settings.doubt:
            return Judgement("hold", [f"{words} and has fallen below half of that"], evidence)
        if length_s < _FIRST_S or not answered or _quiet_s(blocks) > settings.quiet_s:
            return Judgement("hold", [f"{words}: too little to compare"], evidence)
        return Judgement("go", [words], evidence)


def _good(block: Block, side: str) -> int:
    counted = block.candidate if side == "candidate" else block.stable
    return counted.requests - counted.failed - counted.refused


def _quiet_s(blocks: Sequence[Block]) -> float:
    """How long the candidate has answered nothing."""
    quiet_s = 0.0
    for block in reversed(blocks):
        if block.candidate.requests:
            break
        quiet_s += block.length_s
    return quiet_s
