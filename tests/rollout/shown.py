"""A rollout that never ran: a journal, a gateway's files and metering lines, for what looks at rollouts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.rollout.simulated import Behaviour, Scene, requests

from maas_core.releases import journal_path
from maas_gateway.routing import Routing, Split, Upstream, write_routing
from maas_rollout.journal import Journal
from maas_rollout.settings import Settings

MODEL = "digits"
_STEPS = ("verify", "hold", "publish", "candidate", "check", "load-test")


class Past:
    """A clock whose entries lie in the last minutes."""

    def __init__(self, began: datetime) -> None:
        self._now = began

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def monotonic_s(self) -> float:
        return self._now.timestamp()

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def write_rollout(build: Path, candidate: Behaviour, *, percent: int = 25, ago_s: float = 60) -> Journal:
    """A rollout that has held its second weight for ``ago_s``; ``MAAS_BUILD`` must be ``build``."""
    state = build / "gateway"
    began = datetime.now(UTC) - timedelta(seconds=ago_s)
    journal = Journal(journal_path(MODEL), Past(began - timedelta(seconds=len(_STEPS) * 2 + 6)))
    settings = Settings(p99_ms=50.0, error_rate=0.001, gateway_state=str(state), weights=(5, percent, 50, 100))
    members = {MODEL: {"digest": "d" * 64, "before": 6, "bundle": "build/bundles/digits/ensemble"}}
    start = {"model": MODEL, "kind": "release", "repository": "model_repository", "members": members}
    journal.append("r7", "start", {**start, "settings": settings.model_dump(mode="json"), "why": "fewer confusions"})
    for step in (*_STEPS, "weight-5"):
        evidence = {"versions": {MODEL: 7}} if step == "publish" else {}
        journal.append("r7", "begin", {"step": step})
        journal.append("r7", "done", {"step": step, "changed": True, "evidence": evidence, "duration_s": 1.2})
    journal.append("r7", "begin", {"step": f"weight-{percent}"})
    server = Upstream(http="127.0.0.1:1", grpc="127.0.0.1:2")
    split = {MODEL: Split(candidate_percent=percent)}
    write_routing(state, Routing(stable=server, candidate=server, splits=split))
    _write_traffic(state, Scene(candidate=candidate, share=percent / 100, per_s=100, length_s=ago_s), began)
    return journal


def _write_traffic(state: Path, scene: Scene, began: datetime) -> None:
    folder = state / "usage"
    folder.mkdir(parents=True, exist_ok=True)
    found = requests(scene, 1)
    first_s = found[0].at_s
    with (folder / "requests.jsonl").open("w") as file:
        for request in found:
            at = began + timedelta(seconds=request.at_s - first_s) - timedelta(milliseconds=request.latency_ms)
            line: dict[str, Any] = {"at": at.isoformat(), "model": MODEL, "side": request.side, "kind": "infer"}
            line |= {"aimed_at": request.side, "status": 500 if request.failed else 200, "protocol": "http"}
            line |= {"duration_us": int(request.latency_ms * 1000), "attempts": 1, "items": "1"}
            file.write(json.dumps(line) + "\n")
