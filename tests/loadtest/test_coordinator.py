"""The part that is done once: whatever goes wrong in it, the run ends and somebody is told."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from maas_core.errors import ExitCode
from maas_loadtest import coordinator as module
from maas_loadtest.coordinator import Coordinator
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


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


def coordinator(url: str, told: list[dict[str, Any]]) -> Coordinator:
    settings = checked({"url": url, "model": MODEL, "duration": "1"}, {})
    return Coordinator(Scenario("one", "Why?", "so", "open"), settings, Alone(), told.append)


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
        for _ in range(100):
            if one.users_wanted() is None:
                break
            gevent.sleep(0.1)
    assert one.users_wanted() is None
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
