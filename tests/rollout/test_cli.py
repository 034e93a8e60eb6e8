"""`maas rollout` as a user types it, where no server is needed."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.conftest import Maas, json_lines, run_maas
from tests.rollout.bundles import make_bundle, make_ensemble
from tests.rollout.fake_triton import FakeWorld
from tests.rollout.rollouts import give_back, release, settings

from maas_core.repository import versions_of
from maas_rollout.rollout_cli import rollout as group
from maas_rollout.running import listener
from maas_rollout.service import Rollouts, states_of
from maas_rollout.wiring import SystemClock


@pytest.fixture
def rollout(build: Path) -> Maas:
    return partial(run_maas, "rollout", build=build)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundles", "double", 20)


def test_a_dry_run_shows_the_steps_and_changes_nothing(
    rollout: Maas, repository: Path, build: Path, bundle: Path
) -> None:
    options = ("--repository", repository, "--steps", "50,100", "--interval", "2m", "--shadow", "--dry-run")
    done = rollout("start", "double", "--bundle", bundle, *options)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [
        *["verify", "hold", "publish", "candidate", "check", "load-test", "shadow", "weight-50", "weight-100"],
        *["drain-stable", "promote", "return-traffic", "retire", "prune"],
    ]
    assert "held 120 s" in done.stdout
    assert [entry.version for entry in versions_of(repository / "double")] == [1]
    assert not (build / "state" / "rollouts").exists()
    (facts,) = json_lines(rollout("start", "double", "--bundle", bundle, *options, "--json").stdout)
    assert facts["members"]["double"]["before"] == 1


def test_without_a_server_it_ends_with_3_and_nothing_is_published(
    rollout: Maas, repository: Path, bundle: Path
) -> None:
    done = rollout("start", "double", "--bundle", bundle, "--repository", repository)
    assert done.returncode == 3
    assert "no server of the view 'stable' runs; start `maas serve --view stable`" in done.stderr
    assert [entry.version for entry in versions_of(repository / "double")] == [1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--steps", "50,20,100"), "per cents that rise"),
        (("--steps", "5,50"), "per cents that rise"),
        (("--steps", "5,x"), "not per cents"),
        (("--interval", "soon"), "not a time"),
        (("--slo", "p50=3ms"), "gates judge p99 and errors, not p50"),
        (("--bundle", "/nowhere"), "is not a bundle"),
    ],
    ids=["falling", "not to 100", "no number", "no time", "another percentile", "no bundle"],
)
def test_wrong_options_are_told_in_one_line(
    rollout: Maas, repository: Path, bundle: Path, options: tuple[str, str], words: str
) -> None:
    done = rollout("start", "double", "--bundle", bundle, "--repository", repository, "--dry-run", *options)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_status_and_history_tell_who_did_what(rollout: Maas, world: FakeWorld, bundle: Path) -> None:
    assert "no model was ever rolled out" in rollout("status").stdout
    release(world, bundle)
    give_back(world)
    (facts,) = json_lines(rollout("status", "--json").stdout)
    assert (facts["phase"], facts["from"], facts["to"]) == ("promoted", {"double": 2}, {"double": 1})
    shown = rollout("history", "double").stdout.splitlines()
    assert "release: double 1 → double 2: promoted" in shown[0]
    assert "return: double 2 → double 1: promoted" in shown[1]
    entries = json_lines(rollout("history", "double", "--entries", "--json").stdout)
    assert f"{len(entries)} entries, each continues the one before" in shown[2]
    assert all("@" in entry["who"] and entry["at"] for entry in entries)
    assert "from now on double 2 serves" in rollout("history", "double", "--entries").stdout


def test_a_journal_that_was_changed_is_told(rollout: Maas, world: FakeWorld, build: Path, bundle: Path) -> None:
    release(world, bundle)
    path = build / "state" / "rollouts" / "double.jsonl"
    path.write_text(path.read_text().replace("a test", "a tale", 1))
    for command in (("history", "double"), ("status", "double"), ("rollback", "double")):
        done = rollout(*command)
        assert done.returncode == 1
        assert f"{path}, line 2: it does not continue the line before" in done.stderr
    serve = run_maas("serve", "--repository", world.stable.repository, build=build)
    assert serve.returncode == 1
    assert "line 2: it does not continue the line before" in serve.stderr


@pytest.mark.parametrize("command", ["pause", "resume", "promote", "abort"])
def test_where_nothing_is_under_way_there_is_nothing_to_do(
    rollout: Maas, world: FakeWorld, bundle: Path, command: str
) -> None:
    release(world, bundle)
    done = rollout(command, "double")
    assert done.returncode == 1
    assert "no rollout of double is under way" in done.stderr


def test_a_dry_run_of_a_rollback_shows_where_it_would_go(rollout: Maas, world: FakeWorld, bundle: Path) -> None:
    release(world, bundle)
    before = json.dumps(world.stable.ready_versions())
    done = rollout("rollback", "double", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "loads double 1" in done.stdout
    assert json.dumps(world.stable.ready_versions()) == before
    done = rollout("rollback", "double", "7")
    assert done.returncode == 1
    assert "double has no version 7 that this tool published; there is 1, 2" in done.stderr


def test_every_command_has_help_with_an_example() -> None:
    for name in group.list_commands(click.Context(group)):
        done = CliRunner().invoke(group, [name, "--help"])
        assert done.exit_code == 0, name
        assert "Example" in done.output, name


def test_commands_reach_the_process_that_works_on_a_rollout(
    rollout: Maas, world: FakeWorld, repository: Path, bundle: Path
) -> None:
    """Another process holds the lock and the weight; the commands only leave a wish, and follow what becomes of it."""
    world.clock = SystemClock()  # type: ignore[assignment]  # time passes by itself here
    child = os.fork()
    if child == 0:
        try:
            release(world, bundle, interval_s=1000.0)
            os._exit(0)
        finally:
            os._exit(1)
    _wait_for("weight-50")
    done = rollout("start", "double", "--bundle", bundle, "--repository", repository)
    assert done.returncode == 1
    assert f"double is locked: a rollout of it is under way ({getpass.getuser()}@" in done.stderr
    paused = rollout("pause", "double", "--why", "lunch")
    assert paused.returncode == 0, paused.stderr
    assert "paused by" in paused.stdout
    assert "lunch" in paused.stdout
    (facts,) = json_lines(rollout("status", "--json").stdout)
    assert (facts["phase"], facts["step"]) == ("paused", "weight-50")
    assert f"pid {child}" in facts["owner"]
    back = rollout("rollback", "double", "--why", "wrong labels")
    assert back.returncode == 0, back.stderr
    assert "turned back by" in back.stdout
    assert "ROLLED BACK" in back.stdout
    assert os.waitpid(child, 0)[1] == 0
    assert world.stable.ready_versions() == {"double": [1]}


def _wait_for(step: str) -> None:
    deadline = time.monotonic() + 60.0
    while not any(state.begun == step for state in states_of("double")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_publish_tells_which_ensembles_it_leaves_behind(build: Path, tmp_path: Path) -> None:
    repository, root = tmp_path / "models", tmp_path / "bundles"
    first, second = make_bundle(root, "first", 3), make_bundle(root, "second", 5)
    chain = make_ensemble(root, first, second)[2]
    run = partial(run_maas, "publish", build=build)
    quiet = run(chain, second, first, "--repository", repository)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    told = run(make_bundle(root, "first", 7), "--repository", repository)
    assert "NOTE: chain was verified with another first: export it again, and release both together" in told.stderr


def test_a_rollout_goes_on_when_nobody_reads_what_it_tells(world: FakeWorld, bundle: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.dup2(writer, 1)
            sys.stdout = os.fdopen(1, "w")
            rollouts = Rollouts(world.ports, listener(as_json=True))
            rollouts.start(rollouts.plan_release("double", [bundle], world.stable.repository, settings(), ""))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    os.close(reader)
    assert os.waitpid(child, 0)[1] == 0
    assert states_of("double")[-1].outcome == "promoted"
