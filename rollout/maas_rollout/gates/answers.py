"""The gate on answers: golden samples again and again, and mirrored requests that both servers were asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from maas_core.errors import NotHeld, NotReachable
from maas_rollout.gates.comparing import percent, rounded
from maas_rollout.gates.metering import LineReader, seconds
from maas_rollout.gates.sequential import rate_evidence
from maas_rollout.gates.settings import GateSettings
from maas_rollout.ports import Judgement

_FILES = "differences.jsonl*"
_GOLDEN_EVERY_S = 5.0
_LONGEST_CHECK_S = 10.0
_MOST_UNANSWERED = 0.05
_FAR = 4.0
"""The rates that evidence is collected for: so many times the allowed one, and that part of it."""


def in_background(work: Callable[[], None]) -> None:
    """Does it in a thread that holds nobody up at the end."""
    threading.Thread(target=work, name="golden samples", daemon=True).start()


class GoldenGate:
    """Asks the candidate its golden samples while it serves: a server may begin well and end badly.

    They are asked in the background: a server that does not answer must not keep the other gates from judging.

    Args:
        check: asks them; returns evidence, raises :class:`NotHeld` where an answer differs.
        monotonic_s: for the time between two checks.
        begin: has a check done, at once or in the background.
    """

    name = "golden samples"

    def __init__(
        self,
        check: Callable[[], dict[str, Any]],
        monotonic_s: Callable[[], float] = time.monotonic,
        begin: Callable[[Callable[[], None]], None] = in_background,
    ) -> None:
        self._check = check
        self._monotonic_s = monotonic_s
        self._begin = begin
        self._began_s = float("-inf")
        self._is_asking = False
        self._last = Judgement("hold", ["the golden samples were not answered yet"])

    def judge(self, model: str, since: datetime) -> Judgement:
        """See :class:`maas_rollout.ports.Gate`."""
        now_s = self._monotonic_s()
        if self._is_asking:
            if now_s - self._began_s > _LONGEST_CHECK_S and self._last.verdict == "go":
                return Judgement("hold", [f"the golden samples are not answered within {_LONGEST_CHECK_S:g} s"])
        elif now_s - self._began_s >= _GOLDEN_EVERY_S:
            self._began_s, self._is_asking = now_s, True
            self._begin(self._ask)
        return self._last

    def _ask(self) -> None:
        try:
            self._last = self._asked()
        finally:
            self._is_asking = False

    def _asked(self) -> Judgement:
        try:
            evidence = self._check()
        except NotHeld as error:
            return Judgement("back", [error.message])
        except NotReachable as error:
            return Judgement("hold", [f"the golden samples could not be asked: {error.message}"])
        return Judgement("go", ["the candidate answers its golden samples as it should"], evidence)


class MirroredGate:
    """Counts mirrored requests whose answers differ; where any may, those that only one of the servers could answer.

    Args:
        gateway_state: the gateway's state folder.
        settings: the limits.
        is_mirrored: whether requests are being mirrored now: only then comparisons are waited for.
    """

    name = "mirrored answers"

    def __init__(self, gateway_state: Path, settings: GateSettings, is_mirrored: Callable[[], bool]) -> None:
        self._folder = gateway_state / "mirror"
        self._settings = settings
        self._is_mirrored = is_mirrored
        self._since: datetime | None = None

    def judge(self, model: str, since: datetime) -> Judgement:
        """See :class:`maas_rollout.ports.Gate`."""
        if since != self._since:
            self._since = since
            self._lines = LineReader(self._folder, _FILES, since.timestamp())
            self._compared = self._different = self._other = 0
            self._worst: float | None = None
        for entry in self._lines.new():
            if entry.get("model") == model and seconds(entry["at"]) >= since.timestamp():
                self._count(entry)
        return self._judge()

    def _count(self, entry: dict[str, Any]) -> None:
        self._compared += 1
        if not entry["equal"]:
            self._other += 1
            one_failed = entry.get("stable_status") != entry.get("candidate_status")
            self._different += self._settings.max_different is not None or one_failed
            worst = entry.get("worst")
            if isinstance(worst, int | float):
                self._worst = max(self._worst or 0.0, float(worst))

    def _judge(self) -> Judgement:
        limit = self._settings.max_different or _MOST_UNANSWERED
        compared, different = self._compared, self._different
        evidence: dict[str, Any] = {"compared": compared, "different": self._other, "worst": self._worst}
        words = f"{self._other} of {compared} mirrored requests were answered otherwise"
        if self._settings.max_different is None:
            words += f", as any may be; {different} by one server only"
        words += f" ({percent(different / max(1, compared))})"
        more = rate_evidence(different, compared, limit=limit, against=min(_FAR * limit, (1 + limit) / 2))
        fewer = rate_evidence(different, compared, limit=limit, against=limit / _FAR)
        evidence |= {"evidence_more": rounded(more), "evidence_fewer": rounded(fewer), "limit": limit}
        if more >= self._settings.alarm:
            return Judgement("back", [f"{words}: more than {percent(limit)}"], evidence)
        if not self._is_mirrored():
            return Judgement("go", [words if compared else "nothing is mirrored"], evidence)
        if fewer < self._settings.proof:
            return Judgement("hold", [f"{words}: not yet proven to be fewer than {percent(limit)}"], evidence)
        return Judgement("go", [words], evidence)
