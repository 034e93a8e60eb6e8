"""Two real servers to hold docker/ against: one started by the container's own script, one by `maas serve`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

# With importlib's import mode the helpers beside the tests are found only if their folder is on the path.
sys.path.append(str(Path(__file__).parent))

from docker_servers import DOCKER, Running, serve_script, wait_ready  # found by the line above


@pytest.fixture(scope="session")
def predict() -> Callable[[str], list[dict[str, Any]]]:
    """``predict(url)`` asks a server for two pictures, by the program that a user would take."""

    def ask(url: str) -> list[dict[str, Any]]:
        pictures = sorted((DOCKER.parent / "examples" / "digits").glob("*.png"))[:2]
        done = subprocess.run(
            [sys.executable, "-m", "maas_core", "predict", "digits", *pictures, "--url", url, "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    return ask


@pytest.fixture(scope="session")
def container_server(journey: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """What the container runs, over the repository itself."""
    with serve_script(journey.repository, tmp_path_factory.mktemp("script")) as (process, running, log):
        wait_ready(process, running, log)
        yield running


@pytest.fixture(scope="session")
def supervised_server(journey: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A ``maas serve`` that has lost one stub and replaced it, so that its counters have labels."""
    work = tmp_path_factory.mktemp("supervised")
    command = [
        sys.executable,
        "-m",
        "maas_core",
        "serve",
        "--repository",
        journey.repository,
        "--json",
        "--stop-on-eof",
    ]
    command += ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--view", "docker"]
    with ExitStack() as stack:
        words = stack.enter_context((work / "serve.log").open("wb"))
        process = stack.enter_context(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                env={**os.environ, "MAAS_BUILD": str(work / "build")},
            )
        )
        assert process.stdin is not None
        assert process.stdout is not None
        stack.callback(process.stdin.close)
        ready = _event(process.stdout, "ready")
        _kill_stub(ready["triton_pid"], "digits_postprocess")
        _event(process.stdout, "reloaded")
        yield Running(ready["http"], ready["grpc"], ready["metrics"], process.pid)


def _event(lines: IO[str], name: str) -> dict[str, Any]:
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(f"the server ended before it said {name!r}")


def _kill_stub(triton_pid: int, model: str) -> None:
    stubs = []
    for child in psutil.Process(triton_pid).children(recursive=True):
        # What is no stub, a compiler say, may end while it is looked at.
        with suppress(psutil.Error):
            if any(model in word for word in child.cmdline()):
                stubs.append(child)
    assert stubs
    stubs[0].kill()
