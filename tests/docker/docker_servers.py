"""The files under docker/, and a server started as the container starts it."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from maas_core.ports import PortHold
from maas_server.binary import backends_dir, find_binary
from maas_server.process import environment_for
from maas_server.runtime_dir import make_runtime_dir

DOCKER = Path(__file__).parent.parent.parent / "docker"
_READY_TIMEOUT_S = 90.0


def read_yaml(name: str) -> Any:
    """A file under docker/, with compose's ``${VARIABLE:-default}`` replaced by the defaults."""
    text = (DOCKER / name).read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


@dataclass(frozen=True)
class Running:
    """A server that is ready; its URLs, and its process."""

    http: str
    grpc: str
    metrics: str
    pid: int

    def scrape(self) -> str:
        """What Prometheus would fetch now."""
        return fetch(self.metrics)


def fetch(url: str, data: bytes | None = None) -> str:
    """The body of an answer that is no error."""
    with urllib.request.urlopen(url, data=data, timeout=10) as answer:  # noqa: S310  # an address of this machine
        return str(answer.read().decode())


@contextmanager
def serve_script(
    repository: Path, work: Path, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], Running, Path]]:
    """Runs docker/triton/serve.sh as the container does, but with the embedded tritonserver and on free ports."""
    binary = find_binary()
    runtime = make_runtime_dir(binary, repository, [backends_dir()])
    # Triton listens only when its models are loaded: until then others could be given its ports.
    hold = PortHold({"http": 0, "grpc": 0, "metrics": 0})
    ports = hold.ports
    programs = work / "bin"
    programs.mkdir()
    (programs / "tritonserver").symlink_to(binary.path)
    environment = environment_for(runtime) | {"MODEL_REPOSITORY": str(runtime.repository)} | variables
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    arguments = [f"--{name}-address=127.0.0.1" for name in ports] + [
        f"--{name}-port={port}" for name, port in ports.items()
    ]
    arguments += [f"--backend-directory={runtime.backends}", "--allow-gpu-metrics=false", "--exit-timeout-secs=1"]
    log = work / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [DOCKER / "triton" / "serve.sh", *arguments], env=environment, stdout=file, stderr=file
        )
    try:
        running = Running(
            f"http://127.0.0.1:{ports['http']}",
            f"grpc://127.0.0.1:{ports['grpc']}",
            f"http://127.0.0.1:{ports['metrics']}/metrics",
            process.pid,
        )
        yield process, running, log
    finally:
        _end(process)
        process.wait()
        hold.release()
        runtime.remove()


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it started; any of them may end by itself meanwhile."""
    children = []
    if process.poll() is None:
        with suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
    for child in children:
        with suppress(psutil.Error):
            child.kill()
    process.kill()


def wait_ready(process: subprocess.Popen[bytes], running: Running, log: Path) -> None:
    """Waits as the health check of compose.yaml does."""
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            fetch(f"{running.http}/v2/health/ready")
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(log.read_text(errors="replace")[-4000:])
