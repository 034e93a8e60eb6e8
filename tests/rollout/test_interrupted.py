"""Rollouts that pause, and those whose process ends before they do: whom callers meet meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.rollout.bundles import make_bundle
from tests.rollout.fake_triton import FakeGate, FakeWorld
from tests.rollout.rollouts import release, settings

from maas_core.errors import MaasError
from maas_core.releases import Entry, journal_path, read_entries
from maas_rollout.control import ask
from maas_rollout.journal import JournalNotWritten
from maas_rollout.ports import Judgement
from maas_rollout.running import finish
from maas_rollout.service import Rollouts, states_of
from maas_rollout.stopping import Stopped
from maas_rollout.world import Interrupted


@pytest.fixture
def better(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundles", "double", 20)


def test_a_long_pause_is_no_time_in_which_nothing_was_proven(world: FakeWorld, better: Path) -> None:
    """The gates do not decide while it is paused, and for a moment after."""
    world.gate = [*[Judgement("hold", ["too few requests"])] * 12, Judgement("go")]
    resumed_at_s: list[float] = []

    def wish(entry: Entry) -> None:
        state = states_of("double")[-1]
        if (entry.kind, entry.data.get("step")) == ("begin", "weight-50"):
            ask(state, "pause", "lunch")
        elif entry.kind == "paused":
            world.clock.passed_s += 5.0
        elif entry.kind == "judged" and state.paused:
            ask(state, "resume", "after lunch")
        elif entry.kind == "resumed":
            resumed_at_s.append(world.clock.passed_s)

    rollouts = Rollouts(world.ports, wish)
    planned = rollouts.plan_release("double", [better], world.stable.repository, settings(hold_s=4.0), "")
    state = rollouts.start(planned)
    assert state is not None
    assert resumed_at_s
    assert state.outcome == "promoted", state.turned_because


@pytest.mark.parametrize("fault", [KeyError("p99_ms"), Stopped("SIGTERM"), JournalNotWritten("no room")])
def test_nobody_is_left_on_a_candidate_that_nobody_judges(
    world: FakeWorld, better: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(*_: object) -> Judgement:
        assert world.gateway.split("double") == (50, 0)
        raise fault

    with monkeypatch.context() as broken:
        broken.setattr(FakeGate, "judge", fail)
        with pytest.raises(Interrupted if isinstance(fault, Stopped) else type(fault)):
            release(world, better)
    assert world.gateway.split("double") == (0, 0)
    assert world.candidate.address() is not None
    entry = read_entries(journal_path("double"))[-1]
    assert entry.kind == "interrupted"
    assert entry.data["callers"] == "all callers are the stable server's again"
    rollouts = Rollouts(world.ports)
    assert rollouts.differences("double") == []
    rollouts.reconcile("double")
    assert world.gateway.split("double") == (0, 0), "also reconciling gives nobody to it"
    assert rollouts.resume("double").outcome == "promoted"
    assert world.book.violations == []


def test_callers_stay_on_the_candidate_while_the_stable_server_changes_its_version(
    world: FakeWorld, better: Path
) -> None:
    def stop(entry: Entry) -> None:
        if (entry.kind, entry.data.get("step")) == ("begin", "promote"):
            raise Stopped("SIGHUP")

    rollouts = Rollouts(world.ports, stop)
    planned = rollouts.plan_release("double", [better], world.stable.repository, settings(), "")
    with pytest.raises(Interrupted, match=r"stopped \(SIGHUP\) .* callers stay on the candidate"):
        rollouts.start(planned)
    assert world.gateway.split("double") == (100, 0)
    assert Rollouts(world.ports).turn("double", "abort").outcome == "rolled back"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_command_in_order(
    world: FakeWorld, better: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def judge(*_: object) -> Judgement:
        os.kill(os.getpid(), number)
        return Judgement("go")

    monkeypatch.setattr(FakeGate, "judge", judge)
    before = signal.getsignal(number)
    with pytest.raises(MaasError, match=rf"stopped \({number.name}\).*: all callers are the stable server's again"):
        finish(lambda: release(world, better), "double", as_json=False)
    assert world.gateway.split("double") == (0, 0)
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_ends_no_rollout(
    world: FakeWorld, better: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `nohup` has it."""

    def judge(*_: object) -> Judgement:
        os.kill(os.getpid(), signal.SIGHUP)
        return Judgement("go")

    monkeypatch.setattr(FakeGate, "judge", judge)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        finish(lambda: release(world, better), "double", as_json=False)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert states_of("double")[-1].outcome == "promoted"
    assert world.stable.ready_versions() == {"double": [2]}
