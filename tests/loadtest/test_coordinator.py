"""The part that is done once: whatever goes wrong in it, the run ends and somebody is told."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import gevent
import pytest

from maas_core.errors import ExitCode
from maas_loadtest import coordinator as module
from maas_loadtest.coordinator import Coordinator
from maas_loadtest.recorder import Recorder
from maas_loadtest.report_model import read_report
from maas_loadtest.scenario import Scenario
from maas_loadtest.settings import checked
from tests.loadtest.stub_server import MODEL, stub_server


class Alone:
    """A crew of one that never answers."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def names(self) -> list[str]:
        return ["local"]

    def send(self, name: str, data: Any, worker: str | None = None) -> None:
        self.sent.append(name)


class Quick(Alone):
    """A crew of one that has warmed up as soon as it has the plan, and got its answers as soon as it begins."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.answers = answers
        self.coordinator: Coordinator | None = None

    def send(self, name: str, data: Any, worker: str | None = None) -> None:
        assert self.coordinator is not None
        if name == "load_plan":
            self.coordinator.on_message("load_ready", "local", {"pid": 1})
        if name == "load_begin":
            recorder = Recorder(1_000_000_000)
            recorder.begin(0)
            for _ in range(self.answers):
                recorder.offered(0)
                recorder.sent(0, MODEL, 1)
                recorder.answered(0, MODEL, "1", due_ns=0, sent_ns=0, done_ns=1000, items=1, size_bytes=1)
            self.coordinator.on_message("load_part", "local", {"pid": 1, **recorder.hand_over()})
            self.coordinator.on_message("load_done", "local", {"gap_error_us": None})


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


def coordinator(url: str, told: list[dict[str, Any]], crew: Alone | None = None, report: str = "") -> Coordinator:
    settings = checked({"url": url, "model": MODEL, "duration": "1", "report": report or None}, {})
    return Coordinator(Scenario("one", "Why?", "so", "open"), settings, crew or Alone(), told.append)


def wait_for_the_end(one: Coordinator) -> None:
    for _ in range(600):
        if one.users_wanted() is None:
            return
        gevent.sleep(0.1)
    raise AssertionError("the run did not end")


def test_a_fault_of_our_own_ends_the_run_and_is_told(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OverflowError("cannot convert float infinity to integer")

    monkeypatch.setattr(module, "build_report", broken)
    monkeypatch.setattr(module, "_READY_MARGIN_S", -10.0)
    with stub_server() as stub:
        one = coordinator(stub.http, told)
        assert one.users_wanted() == 1
        one.start()
        wait_for_the_end(one)
    assert one.exit_code == ExitCode.NOT_VALID
    assert told[-1]["event"] == "failed"
    assert "OverflowError: cannot convert" in told[-1]["message"]


def test_without_a_server_there_is_nobody_to_wait_for(told: list[dict[str, Any]]) -> None:
    one = coordinator("http://127.0.0.1:1", told)
    one.start()
    assert one.users_wanted() is None
    assert one.exit_code == ExitCode.NOT_REACHABLE
    assert "no server reachable" in told[-1]["message"]


def test_after_a_test_another_one_may_begin(told: list[dict[str, Any]]) -> None:
    one = coordinator("http://127.0.0.1:1", told)
    one.start()
    one.rearm()
    assert one.users_wanted() == 1


def test_a_request_that_the_server_counts_after_its_answer_belongs_to_where_it_was_sent(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last of ten requests of the warm-up is counted late, and the last two of five that are measured."""
    counted = [9, 9, 10, 10, *3 * [13], *100 * [15]]

    def late(*_: Any) -> Any:
        return {(MODEL, "1"): {"inference_stats": {"success": {"count": counted.pop(0)}}}}

    monkeypatch.setattr(module, "snapshot", late)
    crew = Quick(answers=5)
    with stub_server() as stub:
        crew.coordinator = one = coordinator(stub.http, told, crew, str(tmp_path))
        one.start()
        wait_for_the_end(one)
    assert told[-1]["event"] == "report", told[-1]
    (agreement,) = read_report(tmp_path).agreement
    assert (agreement.client, agreement.server) == (5, 5)


def test_what_is_stopped_while_it_settles_ends_once(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counted = count()

    def never_the_same(*_: Any) -> Any:
        return {(MODEL, "1"): {"inference_stats": {"success": {"count": next(counted)}}}}

    monkeypatch.setattr(module, "snapshot", never_the_same)
    monkeypatch.setattr(module, "_POLL_S", 0.02)
    crew = Quick(answers=5)
    with stub_server() as stub:
        crew.coordinator = one = coordinator(stub.http, told, crew, str(tmp_path))
        one.start()
        gevent.sleep(0.1)
        one.stop()
        one.rearm()
        gevent.sleep(2)
    assert [event["event"] for event in told if event["event"] != "planned"] == ["report"]
    assert read_report(tmp_path).interrupted
