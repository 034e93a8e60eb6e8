"""Whatever happens at whatever moment: some version is ready, the repository is whole, and it can be ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest
from tests.rollout.crashing import (
    AFTERMATHS,
    FAULTS,
    STORIES,
    Point,
    Stage,
    Story,
    check_after_crash,
    check_end,
    check_second_run,
    count_calls,
    crash_at,
    crash_at_call,
    make_template,
    mend_and_end,
    open_stage,
    points_of,
)

_SAMPLE_EVERY = 19
_CALLS_EVERY = 9


@pytest.fixture(autouse=True)
def _own_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_BUILD", os.environ.get("MAAS_BUILD", "build"))


@pytest.fixture(scope="module")
def worlds() -> Iterator[Path]:
    """In memory where there is such a folder: what is killed is a process, not the machine, so no disk need keep up."""
    memory = Path("/dev/shm")  # noqa: S108  # a folder of its own is made there
    with TemporaryDirectory(prefix="crashes-", dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def templates(worlds: Path) -> Iterator[dict[Story, Path]]:
    found: dict[Story, Path] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_BUILD", "build")
        for number, story in enumerate(STORIES):
            found[story] = worlds / f"template {number}"
            make_template(found[story], story)
        yield found


@pytest.fixture
def root(worlds: Path) -> Path:
    return Path(mkdtemp(dir=worlds))


def _cases(templates: dict[Story, Path], root: Path, every: int) -> Iterator[tuple[Story, Point, str, str]]:
    """Kills around every entry of the journal; everything else from the beginning of every step on."""
    number = 0
    for story in STORIES:
        for point in points_of(templates[story], root / f"points of {story}", story):
            if (point.kind, point.when) == ("begin", "before"):
                # On the disk that is the moment after the step before.
                continue
            for fault in FAULTS if (point.kind, point.when) == ("begin", "after") else ("kill",):
                for aftermath in AFTERMATHS:
                    if number % every == 0:
                        yield story, point, fault, aftermath
                    number += 1


def _finish(stage: Stage, aftermath: str, what: str) -> list[str]:
    check_after_crash(stage)
    mend_and_end(stage, aftermath)
    check_end(stage)
    check_second_run(stage)
    return [f"{what}: {problem}" for problem in stage.problems]


def _campaign(templates: dict[Story, Path], root: Path, every: int) -> tuple[int, list[str]]:
    problems: list[str] = []
    runs = 0
    for runs, (story, point, fault, aftermath) in enumerate(_cases(templates, root, every), start=1):  # counted
        stage = open_stage(templates[story], root / str(runs), story)
        crash_at(stage, point, fault)
        what = f"{story}, {fault} {point.when} {point.kind} {point.step}, then {aftermath}"
        problems += _finish(stage, aftermath, what)
        shutil.rmtree(stage.root)
    return runs, problems


def test_a_sample_of_faults_ends_well(templates: dict[Story, Path], root: Path) -> None:
    runs, problems = _campaign(templates, root, _SAMPLE_EVERY)
    assert "\n".join(problems) == ""
    assert runs > 20


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_fault_at_every_step_ends_well(templates: dict[Story, Path], root: Path) -> None:
    runs, problems = _campaign(templates, root, 1)
    assert "\n".join(problems) == ""
    assert runs >= 500


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("story", STORIES)
def test_a_kill_between_any_two_changes_on_the_disk_ends_well(
    templates: dict[Story, Path], root: Path, story: Story
) -> None:
    problems: list[str] = []
    for number in range(0, count_calls(templates[story], root / "count", story), _CALLS_EVERY):
        stage = open_stage(templates[story], root / str(number), story)
        crash_at_call(stage, number)
        problems += _finish(stage, AFTERMATHS[number % 2], f"{story}, killed before change {number}")
        shutil.rmtree(stage.root)
    assert "\n".join(problems) == ""
