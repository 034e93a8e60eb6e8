"""What a rollout learns from the gateway's record of requests, without a gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from maas_rollout.routed import RoutedGateway


def line(sequence: str, seconds_ago: float = 1.0, side: str = "candidate", model: str = "counter") -> str:
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    entry = {"at": at.isoformat(timespec="milliseconds"), "model": model, "side": side, "sequence": sequence}
    return json.dumps(entry) + "\n"


def test_a_sequence_is_alive_also_when_its_last_step_was_set_aside(tmp_path: Path) -> None:
    usage = tmp_path / "usage"
    usage.mkdir()
    (usage / "requests-20261122T090000Z.jsonl").write_text(line("old", seconds_ago=900) + line("set aside"))
    (usage / "requests.jsonl").write_text(
        line("now") + line("stable's", side="stable") + line("other", model="double") + line("half")[:-9]
    )
    assert RoutedGateway(tmp_path).live_sequences(["counter"], "candidate", 60.0) == ["now", "set aside"]


def test_without_a_record_no_sequence_is_known(tmp_path: Path) -> None:
    assert RoutedGateway(tmp_path).live_sequences(["counter"], "candidate", 60.0) == []
