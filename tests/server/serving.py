"""Small model repositories, and `maas serve` as a process whose events a test waits for."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.waiting import EVENT_TIMEOUT_S

ROOT = Path(__file__).parents[2]
CONFIG = """
backend: "python"
max_batch_size: {max_batch_size}
input [{{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }}]
output [{{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }}]
instance_group [{{ count: {instances} }}]
dynamic_batching {{}}
"""
DOUBLE = """
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            time.sleep(float(x.flat[0]))
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x * FACTOR)]))
        return responses
"""


def write_model(
    repository: Path,
    name: str,
    *,
    factor: int = 2,
    version: int = 1,
    instances: int = 1,
    max_batch_size: int = 8,
    more: str = "",
) -> Path:
    """A Python model: y is x times ``factor``, after x[0] seconds. ``more`` is further source, at the module's end."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text(CONFIG.format(instances=instances, max_batch_size=max_batch_size))
    (folder / "model.py").write_text(f"FACTOR = {factor}\n{DOUBLE}{more}")
    return folder


def ask(http_url: str, model: str, x: tuple[float, float] = (0.0, 1.0), timeout_s: float = 60.0) -> list[float]:
    """One request; returns y. Raises what a plain HTTP client raises, RuntimeError for an error response."""
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": list(x)}]}
    connection = http.client.HTTPConnection(http_url.removeprefix("http://"), timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request("POST", f"/v2/models/{model}/infer", json.dumps(body))
        answer = connection.getresponse()
        document = json.loads(answer.read())
    if answer.status != 200:
        raise RuntimeError(document["error"])
    return list(document["outputs"][0]["data"])


def ask_until_answered(http_url: str, model: str) -> list[float]:
    """What a client with a retry loop gets."""
    deadline = time.monotonic() + EVENT_TIMEOUT_S
    while True:
        try:
            return ask(http_url, model)
        except (OSError, http.client.HTTPException, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def stubs_of(triton_pid: int, instance: str) -> list[psutil.Process]:
    """The living stub processes of one model instance."""
    found = []
    for child in psutil.Process(triton_pid).children():
        with contextlib.suppress(psutil.Error):
            if instance in child.cmdline():
                found.append(child)
    return found


@dataclass
class Serving:
    """`maas serve --json` in a process of its own."""

    process: subprocess.Popen[str]
    build: Path
    ready: dict[str, Any]
    events: queue.Queue[dict[str, Any]]
    stderr: list[str]
    passed: list[dict[str, Any]] = field(default_factory=list)
    """The events that nobody waited for."""

    @property
    def http(self) -> str:
        return str(self.ready["http"])

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.build / "state" / "serve" / f"{self.view}.json").read_text()))

    @property
    def view(self) -> str:
        return "stable"

    @property
    def token(self) -> str:
        return (self.build / "state" / "serve" / f"{self.view}.token").read_text().strip()

    def metrics(self) -> str:
        """The text that Prometheus would fetch."""
        address, _, path = str(self.ready["metrics"]).removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(address, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", f"/{path}")
            return connection.getresponse().read().decode()

    def event(self, name: str, timeout_s: float = EVENT_TIMEOUT_S) -> dict[str, Any]:
        """The next event of that name; those before it are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(
                    f"no event {name!r} within {timeout_s:g} s; there were {self._told()}; stderr: {self.stderr}"
                )
            if event["event"] == name:
                return event
            self.passed.append(event)

    def _told(self) -> list[str]:
        return [event["message"] for event in self.passed]

    def stop(self, timeout_s: float = 30.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


def start_serving(repository: Path, build: Path, *options: str, stdin: int | None = subprocess.DEVNULL) -> Serving:
    """Starts `maas serve` on free ports and waits until it is ready."""
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "maas_core", "serve", "--repository", str(repository), "--json", *ports, *options],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MAAS_BUILD": str(build)},
    )
    events: queue.Queue[dict[str, Any]] = queue.Queue()
    stderr: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout, process.stderr
    threading.Thread(target=lambda: [events.put(json.loads(line)) for line in out], daemon=True).start()
    threading.Thread(target=lambda: stderr.extend(err), daemon=True).start()
    serving = Serving(process, build, {}, events, stderr)
    try:
        serving.ready = serving.event("ready")
    except BaseException:
        process.kill()
        raise
    return serving
