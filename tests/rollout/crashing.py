"""Rollouts that are killed, or lose the world around them, at one point; each in a process of its own.

The process is forked from the test's, works on a world that lives on the disk, and ends by a true SIGKILL; a full disk
is a limit of the kernel's on what that process may write. Nothing in the product knows of any of this.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tests.rollout.bundles import make_bundle, make_ensemble
from tests.rollout.fake_triton import Cell, FakeWorld, gateway_splits
from tests.rollout.rollouts import release

from maas_core.errors import MaasError, NotHeld
from maas_core.manifest import changed_files, read_manifest
from maas_core.releases import journal_path, read_entries, released_versions
from maas_core.repository import models_in, versions_of
from maas_rollout.journal import Journal
from maas_rollout.lock import is_locked
from maas_rollout.ports import Judgement
from maas_rollout.publish import publish
from maas_rollout.service import Rollouts, states_of
from maas_rollout.state import active

Story = Literal["one model", "ensemble", "turned back", "return", "return of an ensemble"]
STORIES: tuple[Story, ...] = ("one model", "ensemble", "turned back", "return", "return of an ensemble")
FAULTS = ("kill", "disk full", "torn line", "refuses", "stable gone", "gateway gone")
AFTERMATHS = ("resume", "rollback")
_CALLS = ("rename", "replace", "link", "unlink", "mkdir", "rmdir", "fsync", "write", "ftruncate", "open")
_TORN_BYTES = 20
_DONE, _TOLD, _BUG = 0, 9, 70


@dataclass(frozen=True)
class Point:
    """A moment of a rollout: just before or after an entry of its journal is on the disk."""

    kind: str
    step: str
    when: Literal["before", "after"]


@dataclass
class Stage:
    """One world in which one rollout is about to be taken.

    Attributes:
        model: what is released.
        begin: begins the rollout.
    """

    root: Path
    story: Story
    world: FakeWorld
    repository: Path
    model: str
    begin: Callable[[], Any]
    problems: list[str] = field(default_factory=list)


def make_template(root: Path, story: Story) -> None:
    """The world as it is before the rollout of that story."""
    _enter(root)
    repository = root / "models"
    publish(make_bundle(root / "bundles", "double", 2), repository)
    if story in ("ensemble", "return of an ensemble"):
        second = make_bundle(root / "bundles", "second", 5)
        for bundle in make_ensemble(root / "bundles", make_bundle(root / "bundles", "first", 3), second):
            publish(bundle, repository)
        make_ensemble(root / "bundles", make_bundle(root / "bundles", "first", 7), second)
    else:
        make_bundle(root / "bundles", "double", 20)
    FakeWorld(root / "world", repository).stable.follow()


def open_stage(template: Path, root: Path, story: Story) -> Stage:
    """A copy of a template; what has to be released before a return is released here, as journals name their folder."""
    shutil.copytree(template, root, symlinks=True)
    _enter(root)
    repository = root / "models"
    shutil.rmtree(root / "build", ignore_errors=True)
    world = FakeWorld(root / "world", repository)
    world.stable.cell.update(served={}, failed={}, seen={})
    world.stable.follow()
    if story == "turned back":
        world.gate = [Judgement("go"), Judgement("go"), Judgement("back", ["too slow"])]
    is_ensemble = story in ("ensemble", "return of an ensemble")
    model = "chain" if is_ensemble else "double"
    names = ["first-7", "chain-35"] if is_ensemble else ["double-20"]
    bundles = [root / "bundles" / name for name in names]
    options = {"mirror_percent": 10, "keep": 1}
    begin: Callable[[], Any] = partial(release, world, *bundles, model=model, **options)
    if story.startswith("return"):
        begin()
        begin = partial(Rollouts(world.ports).roll_back, model)
    return Stage(root, story, world, repository, model, begin)


def points_of(template: Path, root: Path, story: Story) -> list[Point]:
    """Every moment of the story, found by letting it run undisturbed."""
    stage = open_stage(template, root, story)
    known = len(read_entries(journal_path(stage.model)))
    stage.begin()
    found: dict[Point, None] = {}
    for entry in read_entries(journal_path(stage.model))[known:]:
        for when in ("before", "after"):
            found[Point(entry.kind, str(entry.data.get("step", "")), when)] = None
    return list(found)


def count_calls(template: Path, root: Path, story: Story) -> int:
    """How often the story changes something on the disk."""
    stage = open_stage(template, root, story)
    report = root / "calls"

    def counted() -> None:
        counter = _count_calls(lambda _: None)
        stage.begin()
        report.write_text(str(next(counter)))

    _in_child(stage, counted)
    return int(report.read_text())


def crash_at(stage: Stage, point: Point, fault: str) -> None:
    """Runs the rollout until ``fault`` strikes at ``point``."""

    def disturbed() -> None:
        append = Journal._append

        def watched(journal: Journal, rollout: str, kind: str, data: dict[str, Any]) -> Any:
            is_it = (kind, str(data.get("step", ""))) == (point.kind, point.step)
            if is_it and point.when == "before":
                _strike(stage, fault)
            entry = append(journal, rollout, kind, data)
            if is_it and point.when == "after":
                _strike(stage, fault)
            return entry

        Journal._append = watched  # type: ignore[method-assign]  # in a process that is about to die
        stage.begin()

    _in_child(stage, disturbed)


def crash_at_call(stage: Stage, number: int) -> None:
    """Runs the rollout until its so-many-th change on the disk, before which it is killed."""

    def disturbed() -> None:
        _count_calls(lambda count: os.kill(os.getpid(), signal.SIGKILL) if count == number else None)
        stage.begin()

    _in_child(stage, disturbed)


def check_after_crash(stage: Stage) -> None:
    """What must hold even while the rollout lies there."""
    if not stage.world.book.has("stable gone"):
        stage.world.stable.follow()
        if not stage.world.stable.loaded().get(stage.model) and not stage.world.candidate.loaded().get(stage.model):
            stage.problems.append("no version is ready")
    _check_repository(stage)
    if is_locked(stage.model):
        stage.problems.append("a lock is held by nobody")


def mend_and_end(stage: Stage, aftermath: str) -> None:
    """The world is whole again, and somebody resumes the rollout, or rolls back."""
    for fault in ("stable refuses", "stable gone", "gateway gone"):
        stage.world.book.switch(fault, on=False)
    rollouts = Rollouts(stage.world.ports)
    if aftermath == "resume":
        if active(states_of(stage.model)) is not None:
            rollouts.resume(stage.model)
    elif states_of(stage.model):
        try:
            rollouts.roll_back(stage.model)
        except NotHeld as error:
            # It is back already.
            if "nothing was released" not in error.message:
                raise


def check_end(stage: Stage) -> None:
    """A terminal state, of which everything else is a function."""
    world, states = stage.world, states_of(stage.model)
    unended = [state.id for state in states if not state.outcome]
    if unended:
        stage.problems.append(f"{unended} did not end")
    _check_repository(stage)
    released = released_versions(stage.repository)
    ready = world.stable.ready_versions()
    if any(ready.get(model) != [version] for model, version in released.items()):
        stage.problems.append(f"{ready} is ready, the journals name {released}")
    if states and states[-1].outcome:
        last = states[-1]
        wanted = last.to if last.outcome == "promoted" else last.before
        if released and any(released.get(model) != version for model, version in wanted.items()):
            stage.problems.append(f"the rollout was {last.outcome}, the journals name {released}")
    if world.candidate.address() is not None:
        stage.problems.append("the candidate still runs")
    if gateway_splits(stage.root / "world"):
        stage.problems.append(f"the gateway still splits {gateway_splits(stage.root / 'world')}")
    stage.problems += world.book.violations


def check_second_run(stage: Stage) -> None:
    """Doing it all again changes nothing."""
    if not states_of(stage.model):
        return
    before = _snapshot(stage)
    rollouts = Rollouts(stage.world.ports)
    if rollouts.reconcile(stage.model):
        stage.problems.append("reconcile found something to mend")
    try:
        rollouts.resume(stage.model)
        stage.problems.append("there was something to resume")
    except NotHeld:
        pass
    if _snapshot(stage) != before:
        stage.problems.append("a second run changed something")


def _snapshot(stage: Stage) -> dict[str, bytes]:
    folders = (stage.repository, stage.world.stable.view, journal_path(stage.model).parent)
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    found = {str(path): path.read_bytes() for path in files if path.suffix != ".lock"}
    cells = {name: Cell(stage.root / "world" / name).read() for name in ("gateway", "stable", "candidate")}
    return found | {name: json.dumps(cell).encode() for name, cell in cells.items()}


def _check_repository(stage: Stage) -> None:
    """Only whole versions, also in the eyes of a Triton that is pointed straight at it."""
    for model in models_in(stage.repository):
        for version in versions_of(stage.repository / model):
            stage.problems += [
                f"{version.path}: {what}" for what in changed_files(version.path, read_manifest(version.path))
            ]
        strange = [
            entry.name
            for entry in (stage.repository / model).iterdir()
            if entry.name not in ("config.pbtxt", "labels.txt") and not entry.name.isdigit()
        ]
        stage.problems += [f"{name} lies in {model}" for name in strange]


def _strike(stage: Stage, fault: str) -> None:
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "disk full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    elif fault == "torn line":
        size = journal_path(stage.model).stat().st_size if journal_path(stage.model).exists() else 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + _TORN_BYTES, size + _TORN_BYTES))
    elif fault == "refuses":
        stage.world.book.switch("stable refuses")
    else:
        stage.world.book.switch(fault)


def _in_child(stage: Stage, work: Callable[[], None]) -> None:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = _BUG
        try:
            work()
            code = _DONE
        except MaasError:
            code = _TOLD
        except BaseException:  # noqa: BLE001  # whatever it was is the finding
            (stage.root / "bug").symlink_to(traceback.format_exc()[-3000:])
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _BUG:
        stage.problems.append(f"it ended with a traceback: {(stage.root / 'bug').readlink()}")


def _count_calls(at: Callable[[int], None]) -> Iterator[int]:
    """Calls ``at`` with the number of each change on the disk before it is done; yields how many there were."""
    numbers = itertools.count()
    for name in _CALLS:
        call = getattr(os, name)

        def counted(*arguments: Any, _call: Any = call, **options: Any) -> Any:
            at(next(numbers))
            return _call(*arguments, **options)

        setattr(os, name, counted)
    return numbers


def _enter(root: Path) -> None:
    os.environ["MAAS_BUILD"] = str(root / "build")
