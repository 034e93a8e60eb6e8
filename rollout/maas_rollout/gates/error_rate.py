"""The gate on failures: the candidate must not fail more of its requests than the stable does at the same time."""

from __future__ import annotations

from collections.abc import Sequence

from maas_rollout.gates.blocks import Block
from maas_rollout.gates.comparing import ComparingGate, percent, rounded
from maas_rollout.gates.sequential import LARGER, ShareTest, rate_evidence
from maas_rollout.ports import Judgement

_MOST_PER_BLOCK = 50.0
_SURELY_BETTER = 15.0
"""The rate that proof is collected for lies so many times nearer to the stable's than the allowed one."""


class ErrorRateGate(ComparingGate):
    """Failures (5xx, the like of gRPC, broken connections) send back; refusals (4xx) of the server's own only hold.

    A caller who asks nonsense stays with one server, so what the candidate refuses may be no fault of it.
    """

    name = "error rate"

    def _begin(self) -> None:
        self._failed = ShareTest(LARGER, most_per_block=_MOST_PER_BLOCK)
        self._refused = ShareTest(LARGER, most_per_block=_MOST_PER_BLOCK)

    def _add(self, block: Block) -> None:
        self._failed.add(block.marked("failed"))
        self._refused.add(block.marked("refused"))

    def _judge(self, blocks: Sequence[Block]) -> Judgement:
        requests = sum(block.candidate.requests for block in blocks)
        failed = sum(block.candidate.failed for block in blocks)
        of_stable = sum(block.stable.requests for block in blocks if block.is_same_time)
        failed_of_stable = sum(block.stable.failed for block in blocks if block.is_same_time)
        rate, stable_rate = failed / max(1, requests), failed_of_stable / max(1, of_stable)
        allowed = stable_rate + self._settings.max_error_increase
        sure = stable_rate + self._settings.max_error_increase / _SURELY_BETTER
        proof = rate_evidence(failed, requests, limit=allowed, against=sure) if allowed < 1 else 0.0
        evidence = {
            "candidate_requests": requests,
            "candidate_failed": failed,
            "stable_requests": of_stable,
            "stable_failed": failed_of_stable,
            "evidence_worse": rounded(self._failed.peak),
            "evidence_refuses_more": rounded(self._refused.peak),
            "back_from": rounded(self._settings.alarm),
            "evidence_good": rounded(proof),
            "go_from": self._settings.proof,
        }
        words = (
            f"the candidate failed {failed} of {requests:,} requests ({percent(rate)}), "
            f"the stable {failed_of_stable} of {of_stable:,} ({percent(stable_rate)})"
        )
        if self._failed.peak >= self._settings.alarm:
            return Judgement("back", [f"{words}: more than chance explains"], evidence)
        doubts = self._doubts(requests, proof)
        return Judgement("hold" if doubts else "go", [f"{words}{doubts}"], evidence)

    def _doubts(self, requests: int, proof: float) -> str:
        if requests < self._settings.least_requests:
            return f": fewer than {self._settings.least_requests} requests at this weight"
        if self._failed.value >= self._settings.doubt:
            return ": too many to go on, too few to be sure"
        if self._refused.peak >= self._settings.alarm:
            return ", and refuses (4xx) more of its requests than the stable"
        if proof < self._settings.proof:
            return f": not yet proven to be within {percent(self._settings.max_error_increase)} of the stable"
        return ""
