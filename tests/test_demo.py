from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from maas_core.manifest import changed_files, read_manifest
from maas_core.repository import versions_of
from tests.conftest import JOURNEY, ROOT, Journey
from tests.waiting import wait_until

GONE_AFTER_S = 20.0


@pytest.fixture
def build(journey: Journey, tmp_path: Path) -> Path:
    """A build folder with trained weights and verified bundles, as after a first demo."""
    journey.copy_weights(tmp_path / "build", "digits_cnn")
    journey.copy_bundles(tmp_path / "build", *JOURNEY)
    return tmp_path / "build"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "model_repository"
    shutil.copytree(ROOT / "model_repository", folder, ignore=shutil.ignore_patterns("[0-9]*"))
    return folder


def start_demo(build: Path, repository: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "maas_core", "demo", "--repository", str(repository)],
        cwd=ROOT,
        env={**os.environ, "MAAS_BUILD": str(build), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_of(build: Path) -> Iterator[psutil.Process]:
    """Everything that was started with this build folder, servers and their stubs included."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("MAAS_BUILD") == str(build) and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def assert_nothing_left(build: Path) -> None:
    wait_until(lambda: not list(processes_of(build)), "nothing is left running", GONE_AFTER_S)


def test_the_demo_reads_pictures_and_leaves_nothing_behind(build: Path, repository: Path) -> None:
    process = start_demo(build, repository)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    for proof in (
        "train:",
        "export digits_cnn: torch = onnx = http = grpc",
        "publish:",
        "serve: real Triton",
        "predict:",
    ):
        assert proof in output
    assert re.search(r"(9|10) of 10 pictures that training never saw", output)
    assert "0_pen_dark-on-light.png" in output
    assert_nothing_left(build)


@pytest.mark.parametrize(
    "program", [("-m", "maas_core"), (Path(sys.executable).with_name("maas"),)], ids=["-m", "maas"]
)
def test_ctrl_c_while_the_program_is_imported_is_no_traceback(tmp_path: Path, program: tuple[str | Path, ...]) -> None:
    (tmp_path / "click.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    done = subprocess.run(
        [sys.executable, *program, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("$ maas publish", marks=pytest.mark.slow),
        "$ maas serve",
        pytest.param("$ maas predict", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_leaves_no_process_and_no_broken_repository(build: Path, repository: Path, moment: str) -> None:
    process = start_demo(build, repository)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(moment):
            break
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert_nothing_left(build)
    for model in JOURNEY:
        for version in versions_of(repository / model):
            assert not changed_files(version.path, read_manifest(version.path))
    again = start_demo(build, repository)
    output, _ = again.communicate(timeout=200)
    assert again.returncode == 0, output
