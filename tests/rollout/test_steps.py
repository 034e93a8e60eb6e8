"""What a rollout does with a good version and with bad ones, on the fake servers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.rollout.bundles import BROKEN, make_bundle, make_ensemble
from tests.rollout.fake_triton import FakeClock, FakeWorld
from tests.rollout.rollouts import give_back, release, settings

from maas_core.errors import MaasError, NotHeld, NotReachable, WrongUse
from maas_core.releases import Entry, journal_path, read_entries, released_versions
from maas_core.repository import versions_of
from maas_rollout.control import Action, ask
from maas_rollout.lock import Locked
from maas_rollout.ports import Judgement
from maas_rollout.publish import publish
from maas_rollout.service import Rollouts, states_of
from maas_rollout.state import RolloutState


@pytest.fixture
def better(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundles", "double", 20)


def test_a_good_version_is_promoted_and_nothing_is_left_over(world: FakeWorld, better: Path) -> None:
    state = release(world, better, mirror_percent=10)
    assert state is not None
    assert state.outcome == "promoted"
    assert list(state.done) == [
        *["verify", "hold", "publish", "candidate", "check", "load-test", "shadow", "weight-50", "weight-100"],
        *["drain-stable", "promote", "return-traffic", "retire", "prune"],
    ]
    assert world.stable.ready_versions() == {"double": [2]}
    assert state.done["promote"]["double"]["digest"] == versions_of(world.stable.repository / "double")[-1].digest
    assert world.candidate.address() is None
    assert world.gateway.split("double") == (0, 0)
    assert world.book.violations == []


def test_answers_are_compared_before_callers_come_and_while_both_servers_have_some(
    world: FakeWorld, better: Path
) -> None:
    seen: dict[str, tuple[int, int]] = {}

    def look(entry: Entry) -> None:
        if entry.kind == "done" and entry.data["step"] in wanted:
            seen[entry.data["step"]] = world.gateway.split("double")
            # A rollout that is killed here has this restored.
            assert Rollouts(world.ports).differences("double") == []

    wanted = {"load-test": (0, 0), "shadow": (0, 10), "weight-50": (50, 10), "weight-100": (100, 0)}
    rollouts = Rollouts(world.ports, look)
    plan = rollouts.plan_release("double", [better], world.stable.repository, settings(mirror_percent=10), "")
    rollouts.start(plan)
    assert seen == wanted


def test_what_serves_already_needs_no_rollout(world: FakeWorld, better: Path) -> None:
    release(world, better)
    assert release(world, better) is None
    assert len(states_of("double")) == 1


def test_a_published_version_is_not_served_until_it_is_promoted(world: FakeWorld, better: Path) -> None:
    """Neither by the server that runs nor by one that is started anew."""
    seen: dict[str, dict[str, list[int]]] = {}

    def look(entry: Entry) -> None:
        if entry.kind == "done":
            seen[entry.data["step"]] = world.stable.ready_versions()

    rollouts = Rollouts(world.ports, look)
    rollouts.start(rollouts.plan_release("double", [better], world.stable.repository, settings(), ""))
    new = [step for step, ready in seen.items() if ready["double"] == [2]]
    assert new == ["promote", "return-traffic", "retire", "prune"]
    assert all(ready["double"] == [1] for step, ready in seen.items() if step not in new)


@pytest.mark.parametrize(
    ("more", "answer", "step"), [(BROKEN, 0, "candidate"), ("", 7, "check")], ids=["does not load", "answers wrong"]
)
def test_a_bad_version_never_meets_a_caller(
    world: FakeWorld, tmp_path: Path, more: str, answer: int, step: str
) -> None:
    state = release(world, make_bundle(tmp_path / "bundles", "double", 30, more=more, answer=answer))
    assert state is not None
    assert state.outcome == "rolled back"
    assert state.turned_because.startswith(f"{step}: ")
    assert not [name for name in state.touched if name.startswith("weight-")]
    assert world.stable.ready_versions() == {"double": [1]}
    assert world.candidate.address() is None


def test_a_load_test_that_fails_turns_it_back(world: FakeWorld, better: Path) -> None:
    world.load = Judgement("back", ["p99 of 130 ms, wanted 100 ms"])
    state = release(world, better)
    assert state is not None
    assert "p99 of 130 ms" in state.turned_because
    assert not [name for name in state.touched if name.startswith("weight-")]


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ([Judgement("go"), Judgement("back", ["errors 2 %"])], "errors 2 %"),
        ([Judgement("hold", ["no requests"])], "no proof within 2 s after the interval"),
    ],
    ids=["refuted", "no data"],
)
def test_without_proof_it_never_goes_forward(world: FakeWorld, better: Path, gate: list[Judgement], why: str) -> None:
    world.gate = gate
    state = release(world, better)
    assert state is not None
    assert state.outcome == "rolled back"
    assert why in state.turned_because
    assert "weight-100" not in state.touched
    assert world.gateway.split("double") == (0, 0)
    assert world.stable.ready_versions() == {"double": [1]}


def test_a_stable_server_that_refuses_keeps_the_old_version(world: FakeWorld, better: Path) -> None:
    world.book.switch("stable refuses")
    state = release(world, better)
    assert state is not None
    assert state.outcome == "rolled back"
    assert state.turned_because.startswith("promote: ")
    assert world.stable.ready_versions() == {"double": [1]}
    assert released_versions(world.stable.repository) == {"double": 1}
    assert world.book.violations == []


def test_after_promotion_the_old_version_comes_back_and_the_new_one_can_again(world: FakeWorld, better: Path) -> None:
    release(world, better)
    state = give_back(world)
    assert state is not None
    assert (state.outcome, state.to) == ("promoted", {"double": 1})
    assert world.stable.ready_versions() == {"double": [1]}
    with pytest.raises(NotHeld, match="nothing was released"):
        give_back(world)
    state = give_back(world, 2)
    assert state is not None
    assert world.stable.ready_versions() == {"double": [2]}
    assert world.book.violations == []


def test_one_goes_back_over_several_releases(world: FakeWorld, tmp_path: Path) -> None:
    for factor in (20, 30, 40):
        release(world, make_bundle(tmp_path / "bundles", "double", factor))
    give_back(world, 2)
    assert world.stable.ready_versions() == {"double": [2]}
    give_back(world)
    assert world.stable.ready_versions() == {"double": [1]}


def test_a_new_model_is_served_only_when_it_is_proven(world: FakeWorld, tmp_path: Path) -> None:
    bad = make_bundle(tmp_path / "bundles", "triple", 3, answer=4)
    state = release(world, bad, model="triple")
    assert state is not None
    assert state.outcome == "rolled back"
    assert world.stable.ready_versions() == {"double": [1]}
    state = release(world, make_bundle(tmp_path / "bundles", "triple", 30), model="triple")
    assert state is not None
    assert state.outcome == "promoted"
    assert world.stable.ready_versions() == {"double": [1], "triple": [2]}


def test_an_ensemble_goes_as_one_with_its_steps(world: FakeWorld, tmp_path: Path) -> None:
    repository, root = world.stable.repository, tmp_path / "bundles"
    first, second = make_bundle(root, "first", 3), make_bundle(root, "second", 5)
    for bundle in make_ensemble(root, first, second):
        publish(bundle, repository)
    assert world.stable.ready_versions() == {"double": [1], "chain": [1], "first": [1], "second": [1]}
    new_first = make_bundle(root, "first", 7)
    with pytest.raises(NotHeld, match="chain 1, which serves, was verified with another first"):
        release(world, new_first, model="first")
    bundles = make_ensemble(root, new_first, second)
    with pytest.raises(NotHeld, match=r"chain was verified with a first .* that is not published"):
        release(world, bundles[2], model="chain")
    state = release(world, bundles[2], new_first, model="chain")
    assert state is not None
    assert state.outcome == "promoted"
    assert world.stable.ready_versions() == {"double": [1], "chain": [2], "first": [2], "second": [1]}
    state = give_back(world, model="chain")
    assert state is not None
    assert state.outcome == "promoted"
    assert world.stable.ready_versions() == {"double": [1], "chain": [1], "first": [1], "second": [1]}
    assert world.book.violations == []


def test_a_bundle_of_something_else_is_wrong_use(world: FakeWorld, better: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "bundles", "triple", 3)
    with pytest.raises(WrongUse, match="triple does not belong to double"):
        release(world, better, other)
    with pytest.raises(WrongUse, match="no bundle of double was given"):
        release(world, other)


def test_old_versions_go_but_not_those_that_serve_or_are_steps(world: FakeWorld, tmp_path: Path) -> None:
    repository = world.stable.repository
    for factor in (20, 30, 40):
        release(world, make_bundle(tmp_path / "bundles", "double", factor), keep=2)
    assert [entry.version for entry in versions_of(repository / "double")] == [3, 4]
    give_back(world)
    release(world, make_bundle(tmp_path / "bundles", "double", 50), keep=1)
    assert [entry.version for entry in versions_of(repository / "double")] == [3, 5], "one must be able to go back"


def test_sequences_may_end_and_what_could_not_is_told(world: FakeWorld, tmp_path: Path) -> None:
    stateful = "sequence_batching { max_sequence_idle_microseconds: 5000000 }"
    world.gateway._cell.update(**{"sequences of candidate": ["41", "42"], "sequences of stable": ["7"]})
    entries: list[Entry] = []
    rollouts = Rollouts(world.ports, entries.append)
    repository = world.stable.repository
    publish(make_bundle(tmp_path / "bundles", "counter", 2, scheduling=stateful), repository)
    bundle = make_bundle(tmp_path / "bundles", "counter", 3, scheduling=stateful)
    state = rollouts.start(rollouts.plan_release("counter", [bundle], repository, settings(), ""))
    assert state is not None
    assert state.done["drain-stable"] == {"undrained": ["7"]}
    told = [entry.data for entry in entries if entry.kind == "undrained"]
    assert told == [{"side": "candidate", "sequences": ["41", "42"]}]


def test_a_clock_that_was_set_back_makes_no_version_old(world: FakeWorld, better: Path) -> None:
    """Triton loads only what is strictly newer; here everything that is there is from the future."""
    future_ns = time.time_ns() + 3600 * 10**9
    for path in [*world.stable.repository.rglob("*"), *world.stable.view.rglob("*")]:
        os.utime(path, ns=(future_ns, future_ns))
    world.stable.cell.update(
        served={"double": {**world.stable.cell.read()["served"]["double"], "newest_ns": future_ns}}
    )
    state = release(world, better)
    assert state is not None
    assert state.outcome == "promoted", state.turned_because
    give_back(world)
    assert world.stable.ready_versions() == {"double": [1]}


def _start_without_gateway(world: FakeWorld, bundle: Path) -> None:
    world.book.switch("gateway gone")
    try:
        release(world, bundle)
    finally:
        world.book.switch("gateway gone", on=False)


def test_a_gateway_that_is_away_is_no_reason_to_lose_callers(world: FakeWorld, better: Path) -> None:
    with pytest.raises(MaasError, match="does not answer"):
        _start_without_gateway(world, better)
    assert states_of("double") == [], "nothing is begun that could not be ended"

    def lose_gateway(entry: Entry) -> None:
        if entry.data.get("step") == "weight-100":
            world.book.switch("gateway gone")

    rollouts = Rollouts(world.ports, lose_gateway)
    planned = rollouts.plan_release("double", [better], world.stable.repository, settings(), "")
    with pytest.raises(NotReachable, match="stands still at restore-traffic"):
        rollouts.start(planned)
    world.book.switch("gateway gone", on=False)
    state = Rollouts(world.ports).resume("double")
    assert state.outcome == "rolled back"
    assert world.book.violations == []


def test_without_a_stable_server_nothing_is_begun(world: FakeWorld, better: Path) -> None:
    world.book.switch("stable gone")
    with pytest.raises(NotReachable, match="no server of the view 'stable' runs"):
        release(world, better)
    assert [entry.version for entry in versions_of(world.stable.repository / "double")] == [1]


def test_people_may_pause_promote_and_turn_back_a_rollout_that_another_process_works_on(
    world: FakeWorld, better: Path
) -> None:
    """The process finds the wish while it waits; here the wish is left at an entry of the journal."""
    wishes: list[Action] = ["pause", "promote"]
    passed_s: list[float] = []

    def wish(entry: Entry) -> None:
        if (entry.kind, entry.data.get("step")) == ("begin", "weight-50"):
            ask(active_state(), wishes.pop(0), "lunch")
        elif entry.kind == "paused":
            passed_s.append(world.clock.passed_s)
            ask(active_state(), wishes.pop(0), "after lunch")

    def active_state() -> RolloutState:
        return states_of("double")[-1]

    rollouts = Rollouts(world.ports, wish)
    planned = rollouts.plan_release("double", [better], world.stable.repository, settings(interval_s=1000.0), "")
    state = rollouts.start(planned)
    assert state is not None
    assert state.outcome == "promoted"
    assert world.clock.passed_s - passed_s[0] < 10.0, "no interval was held after people asked for the promotion"


def test_a_rollback_while_the_candidate_serves_is_routing_only(world: FakeWorld, better: Path) -> None:
    kinds: list[tuple[str, str]] = []

    def wish(entry: Entry) -> None:
        kinds.append((entry.kind, entry.data.get("step", "")))
        if (entry.kind, entry.data.get("step")) == ("done", "weight-50"):
            ask(states_of("double")[-1], "rollback", "wrong labels")

    rollouts = Rollouts(world.ports, wish)
    state = rollouts.start(rollouts.plan_release("double", [better], world.stable.repository, settings(), ""))
    assert state is not None
    assert (state.outcome, state.turned_because) == ("rolled back", "wrong labels")
    after = kinds[kinds.index(("turn", "")) :]
    assert after == [
        ("turn", ""),
        *[(kind, step) for step in ("restore-traffic", "stop-candidate") for kind in ("begin", "done")],
        ("end", ""),
    ], "no version is pinned or loaded"


def test_a_promotion_before_anything_is_proven_is_refused(world: FakeWorld, better: Path) -> None:
    refused: list[str] = []

    def wish(entry: Entry) -> None:
        if (entry.kind, entry.data.get("step")) == ("begin", "publish"):
            ask(states_of("double")[-1], "promote", "")
        if entry.kind == "refused":
            refused.append(entry.data["because"])

    rollouts = Rollouts(world.ports, wish)
    rollouts.start(rollouts.plan_release("double", [better], world.stable.repository, settings(), ""))
    assert refused == ["nothing is proven yet: check and load-test come first"]


def test_two_models_are_released_at_once_and_one_model_is_not(world: FakeWorld, better: Path) -> None:
    def nested(entry: Entry) -> None:
        if (entry.kind, entry.data.get("step")) == ("begin", "weight-50"):
            with pytest.raises(Locked, match="double is locked: a rollout of it is under way"):
                release(world, better)

    rollouts = Rollouts(world.ports, nested)
    assert rollouts.start(rollouts.plan_release("double", [better], world.stable.repository, settings(), ""))


def test_reconcile_mends_what_others_changed(world: FakeWorld, better: Path) -> None:
    release(world, better)
    world.gateway._cell.update(splits={"double": [40, 0]}, candidate="127.0.0.1:9000")
    world.candidate.cell.update(up=True, pins={"double": 1}, served={})
    found = Rollouts(world.ports).reconcile("double")
    assert found == [
        "a candidate runs that no rollout needs",
        "the gateway routes 40 % and mirrors 0 %, wanted 0 % and 0 %",
    ]
    assert world.gateway.split("double") == (0, 0)
    assert world.candidate.address() is None
    assert Rollouts(world.ports).differences("double") == []
    # Once only: a second run finds nothing to mend, and writes nothing.
    Rollouts(world.ports).reconcile("double")
    written = [entry.data for entry in read_entries(journal_path("double")) if entry.kind == "reconciled"]
    assert written == [{"differences": found}]


def test_without_a_gateway_golden_samples_and_load_test_decide(world: FakeWorld, better: Path) -> None:
    world.book.switch("gateway gone")
    state = release(world, better, use_gateway=False)
    assert state is not None
    assert state.outcome == "promoted"
    assert not [name for name in state.done if name.startswith("weight-")]
    assert world.stable.ready_versions() == {"double": [2]}


def test_the_gateway_knows_one_second_server_so_the_later_rollout_waits(world: FakeWorld, better: Path) -> None:
    class Patient(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.passed_s > 100.0:
                world.gateway._cell.update(splits={}, candidate=None)

    world.clock = Patient()
    world.gateway._cell.update(splits={"other": [50, 0]}, candidate="127.0.0.1:9500")
    state = release(world, better)
    assert state is not None
    assert state.outcome == "promoted"
    assert world.clock.passed_s > 100.0
