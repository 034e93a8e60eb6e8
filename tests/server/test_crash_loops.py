"""What the supervisor concludes from servers that end in a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from maas_core.events import EventLog
from maas_server import supervisor as supervisor_module
from maas_server.errors import StartFailed
from maas_server.supervisor import ServeSettings, Supervisor


class _SilentEvents:
    """Takes what is told."""

    def tell(self, event: str, words: str, **fields: Any) -> None:
        """Nobody reads it."""


class _Run:
    """A run that notes how it is begun."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.settle_s: float | None = None

    def begin(self, models: list[str], settle_s: float | None) -> None:
        self.settle_s = settle_s


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A supervisor that starts nothing; what it reports is not looked at."""
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    monkeypatch.setattr(supervisor_module, "Run", _Run)
    monkeypatch.setattr(supervisor_module, "remove_leftovers", lambda: None)
    made: Any = Supervisor(ServeSettings(tmp_path / "models"), cast(EventLog, _SilentEvents()))
    made._reporter = MagicMock()
    made._metrics = MagicMock()
    made._launcher = MagicMock()
    return made


def test_one_by_one_a_model_is_waited_for_eight_seconds_at_most(supervisor: Any) -> None:
    settles = []
    for _ in range(12):
        supervisor._note_crash("killed by SIGSEGV", frozenset({"a", "b"}), 0.0)
        settles.append(supervisor._run_of(MagicMock()).settle_s)
    assert settles[:6] == [None, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert max(settles[1:]) == 8.0


def test_only_the_model_that_was_alone_twice_in_a_row_is_left_out(supervisor: Any) -> None:
    for loading in ({"a"}, {"a"}, {"a"}, {"b"}, {"a"}):
        supervisor._note_crash("killed by SIGSEGV", frozenset(loading), 0.0)
        assert not supervisor._left_out, "one crash may have another cause"
    supervisor._note_crash("killed by SIGSEGV", frozenset({"a"}), 0.0)
    assert list(supervisor._left_out) == ["a"]


def test_a_start_that_takes_too_long_is_told_and_backs_off(supervisor: Any) -> None:
    supervisor._was_ready = True
    supervisor._launcher.start.side_effect = StartFailed("not ready after 120 s", "see the log", timed_out=True)
    for _ in range(3):
        assert supervisor._start() is None
    assert supervisor._server_loop.delay_s == 2.0
    assert supervisor._reporter.triton_ended.call_count == 3


def _time_out(*loading: str) -> StartFailed:
    return StartFailed("not ready after 120 s", "see the log", loading=frozenset(loading), timed_out=True)


def test_only_a_model_that_is_late_at_two_starts_in_a_row_is_left_out(supervisor: Any) -> None:
    late = [_time_out("a", "b"), _time_out("b", "c"), MagicMock(), _time_out("c"), _time_out("c")]
    left_out_after = []
    supervisor._launcher.start.side_effect = late
    for _ in late:
        supervisor._start()
        left_out_after.append(sorted(supervisor._left_out))
    assert left_out_after == [[], ["b"], ["b"], ["b"], ["b", "c"]]
    told = [sorted(call.args[0]) for call in supervisor._reporter.start_timed_out.call_args_list]
    assert told == [["a", "b"], ["c"], ["c"]]


def test_a_crash_between_two_time_outs_starts_the_count_anew(supervisor: Any) -> None:
    crash = StartFailed("the server ended", "see the log", loading=frozenset({"a"}))
    supervisor._launcher.start.side_effect = [_time_out("a"), crash, _time_out("a")]
    for _ in range(3):
        supervisor._start()
    assert supervisor._left_out == {}


def test_what_needs_a_model_that_is_left_out_is_left_out_too(supervisor: Any) -> None:
    """Triton would load it with them, and hang or end again."""
    steps = {"step": "a", "whole": "step", "other": "b"}
    for ensemble, step in steps.items():
        folder = supervisor._view / ensemble
        folder.mkdir(parents=True)
        (folder / "config.pbtxt").write_text(
            f'platform: "ensemble" ensemble_scheduling {{ step {{ model_name: "{step}" model_version: -1 }} }}'
        )
    supervisor._shown.versions = dict.fromkeys([*"ab", *steps], 1)
    supervisor._launcher.start.side_effect = [_time_out("a"), _time_out("a")]
    for _ in range(2):
        supervisor._start()
    assert supervisor._wanted == ["b", "other"]
    assert "still loading after 120 s, at two starts in a row" in supervisor._left_out["a"]
    assert {supervisor._left_out[name] for name in ("step", "whole")} == {"it needs a, which is left out"}
    assert supervisor._comes_back(["b"]) == []
    assert supervisor._comes_back(["a"]) == ["step", "whole"]
    supervisor._left_out["step"] = "it keeps dying"
    assert supervisor._comes_back(["a"]) == ["step", "whole"], "what changed may have been why"
