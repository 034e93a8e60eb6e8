"""What several tests share: the ``maas`` program as a user runs it, and one journey that all tests may look at."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from maas_export.catalogue import TorchModel, all_models

pytest_plugins = ["maas_server.pytest_plugin"]

ROOT = Path(__file__).parent.parent
JOURNEY = {"digits_cnn": "onnx", "digits_preprocess": "python", "digits_postprocess": "python", "digits": "ensemble"}
_MAKER, _NEITHER, _JOURNEY, _CATALOGUE = range(4)
"""The order of the files of tests."""


@dataclass(frozen=True)
class Journey:
    """A finished journey of some models: trained, exported, verified, published. Tests only read it."""

    build: Path
    repository: Path

    def bundle(self, model: str) -> Path:
        """The verified bundle of ``model``."""
        return self.build / "bundles" / model / all_models()[model].bundle_format

    def copy_bundles(self, build: Path, *models: str) -> None:
        """Copies of verified bundles into a build folder that a test may spoil."""
        for model in models:
            shutil.copytree(self.bundle(model), build / "bundles" / model / self.bundle(model).name)

    def copy_weights(self, build: Path, *models: str) -> None:
        """Copies of trained weights into a build folder that a test may spoil."""
        for model in models:
            # The journeys of other test processes write `latest` anew meanwhile, beside it under a name that goes away.
            temporary = shutil.ignore_patterns(".*")
            shutil.copytree(self.build / "weights" / model, build / "weights" / model, ignore=temporary)


Maas = Callable[..., subprocess.CompletedProcess[str]]


def run_maas(
    *arguments: str | Path, build: Path, cwd: Path = ROOT, timeout_s: float = 200, niceness: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs ``maas`` in a process of its own."""
    return subprocess.run(
        ["nice", "-n", str(niceness), sys.executable, "-m", "maas_core", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env={**os.environ, "MAAS_BUILD": str(build), "COLUMNS": "200"},
        check=False,
    )


@pytest.hookimpl(trylast=True)  # after those that are not to run were left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait for trained models may take their time, and come in an order in which little is waited for.

    One file that wants the catalogue goes first, so that one process makes the journey and the catalogue while the
    others do what needs neither; then come the files that want the journey, and last those that want the catalogue.
    """
    wanted: dict[Path, int] = {}
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"catalogue", "journey"}:
            # The first test that wants trained models waits for them, and on a busy machine for minutes.
            item.add_marker(pytest.mark.timeout(1800))
        rank = _CATALOGUE if "catalogue" in fixtures else _JOURNEY if "journey" in fixtures else _NEITHER
        wanted[item.path] = max(rank, wanted.get(item.path, _NEITHER))
    maker = next((path for path, rank in wanted.items() if rank == _CATALOGUE), None)
    items.sort(key=lambda item: _MAKER if item.path == maker else wanted[item.path])


@pytest.fixture
def maas(tmp_path: Path) -> Maas:
    """``maas("verify", bundle)`` runs the program with a build folder of this test's own."""

    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return run_maas(*arguments, **{"build": tmp_path / "build", **options})

    return run


@pytest.fixture(scope="session")
def journey() -> Journey:
    """Trains, exports, verifies and publishes once for all test processes, by the commands of the README."""
    build = ROOT / "build" / "tests"
    done = Journey(build, build / "model_repository")
    build.mkdir(parents=True, exist_ok=True)
    with _first_of_this_run(build / "journey") as is_first:
        if is_first:
            _make_journey(done)
    return done


def _make_journey(done: Journey) -> None:
    build = done.build
    _make("train", "digits_cnn", "--json", build=build)
    _make("export", *JOURNEY, "--json", build=build)
    if not _shows_the_bundles(done):
        shutil.rmtree(done.repository, ignore_errors=True)
        shutil.rmtree(build / ".model_repository.maas", ignore_errors=True)
        committed = shutil.ignore_patterns("[0-9]*")
        for model in JOURNEY:
            shutil.copytree(ROOT / "model_repository" / model, done.repository / model, ignore=committed)
    bundles = [done.bundle(model) for model in JOURNEY]
    _done(run_maas("publish", *bundles, "--repository", done.repository, "--json", build=build))


@pytest.fixture(scope="session")
def catalogue(journey: Journey) -> Journey:
    """Every model of the catalogue, trained on reduced data (the digits on all), exported, verified, published.

    What is under test is the way from network to answer; what a whole training reaches, `make test-full` measures.
    """
    done = Journey(journey.build, journey.build / "catalogue_repository")
    # A lock of its own: tests that want no more than the journey need not wait for this.
    with _first_of_this_run(journey.build / "catalogue") as is_first:
        if is_first:
            _make_catalogue(done)
    return done


def _make_catalogue(done: Journey) -> None:
    build = done.build
    others = [name for name, model in all_models().items() if isinstance(model, TorchModel) and name not in JOURNEY]
    # One process, which imports torch once: the processors are busy with other tests anyway.
    reduced = ("--share", "0.01", "--epochs", "1", "--jobs", "1", "--json")
    _make("train", *others, *reduced, build=build)
    _make("export", "--all", "--json", build=build)
    if not _shows_the_bundles(done, all_models()):
        shutil.rmtree(done.repository, ignore_errors=True)
        shutil.rmtree(build / f".{done.repository.name}.maas", ignore_errors=True)
    bundles = [done.bundle(model) for model in all_models()]
    _done(run_maas("publish", *bundles, "--repository", done.repository, "--json", build=build))


@contextlib.contextmanager
def _first_of_this_run(path: Path) -> Iterator[bool]:
    """Whether no other process of these tests has done it; who comes while one does waits.

    Where nothing has changed since an earlier run, doing it again still loads all data to see that.
    """
    run, done = os.environ.get("PYTEST_XDIST_TESTRUNUID", ""), path.with_suffix(".run")
    with FileLock(path.with_suffix(".lock")):
        yield not run or not done.is_file() or done.read_text() != run
        done.write_text(run)


def _shows_the_bundles(journey: Journey, models: Iterable[str] = JOURNEY) -> bool:
    """Whether version 1 of each model is the bundle as it is now: the committed configurations pin version 1."""
    if sorted(path.name for path in journey.repository.glob("*")) != sorted(models):
        return False
    for model in models:
        manifests = (journey.bundle(model) / "manifest.json", journey.repository / model / "1" / "manifest.json")
        if not all(path.is_file() for path in manifests):
            return False
        bundled, published = (json.loads(path.read_bytes())["digest"] for path in manifests)
        config = Path(model) / "config.pbtxt"
        committed = (ROOT / "model_repository" / config).read_bytes()
        if bundled != published or (journey.repository / config).read_bytes() != committed:
            return False
    return True


def _make(*arguments: str, build: Path) -> None:
    """Gives way to the tests of other processes, which have times to keep, but not so far that all wait for it."""
    _done(run_maas(*arguments, build=build, timeout_s=1200, niceness=5))


def _done(process: subprocess.CompletedProcess[str]) -> None:
    assert process.returncode == 0, process.stderr


def json_lines(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a command's output, one a line."""
    return [json.loads(line) for line in text.splitlines()]
