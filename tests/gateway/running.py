"""`maas gateway` as a process, and callers of it that speak bare HTTP and bare gRPC."""

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import psutil
import pytest
from tritonclient.grpc import service_pb2 as pb

from maas_core.serving import Served
from maas_gateway.envoy_admin import EnvoyAdmin
from maas_gateway.routing import Routing, Split, Upstream, wait_applied, write_routing
from tests.loadtest.stub_server import MODEL, Stub
from tests.waiting import EVENT_TIMEOUT_S, wait_until

ROOT = Path(__file__).parents[2]
INFER_PATH = "/inference.GRPCInferenceService/ModelInfer"
ROW = (1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Reply:
    """What a caller got.

    Attributes:
        status: HTTP status or gRPC code.
        version: the version that answered, as the server itself wrote it into its answer; empty for an error.
        side: what the gateway says.
        text: the body or the gRPC message of an error.
        retry_after: the header of that name, over HTTP.
    """

    status: int
    version: str
    side: str
    text: str = ""
    retry_after: str = ""

    @property
    def is_good(self) -> bool:
        return bool(self.version)


class HttpCaller:
    """One HTTP connection."""

    def __init__(self, url: str, **options: Any) -> None:
        parts = urlsplit(url)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connect(parts.netloc, timeout=60, **options)

    def infer(
        self,
        model: str = MODEL,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        row: tuple[float, ...] = ROW,
        version: str = "",
    ) -> Reply:
        tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP32", "data": list(row)}
        body = {"inputs": [tensor], **({"parameters": dict(parameters)} if parameters else {})}
        path = f"/v2/models/{model}/versions/{version}/infer" if version else f"/v2/models/{model}/infer"
        self._connection.request("POST", path, json.dumps(body), dict(headers or {}))
        answer = self._connection.getresponse()
        text = answer.read().decode()
        answered_by = json.loads(text)["model_version"] if answer.status == 200 else ""
        side, retry_after = (answer.getheader(name, "") for name in ("x-maas-side", "retry-after"))
        return Reply(answer.status, answered_by, side, text, retry_after)

    def close(self) -> None:
        self._connection.close()


class GrpcCaller:
    """One gRPC channel."""

    def __init__(self, url: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        address = urlsplit(url).netloc
        options = [("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)
        self._infer = self._channel.unary_unary(
            INFER_PATH, pb.ModelInferRequest.SerializeToString, pb.ModelInferResponse.FromString
        )

    def infer(
        self,
        model: str = MODEL,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        row: tuple[float, ...] = ROW,
        version: str = "",
    ) -> Reply:
        import numpy as np

        request = pb.ModelInferRequest(
            model_name=model,
            model_version=version,
            inputs=[{"name": "x", "datatype": "FP32", "shape": [1, len(row)]}],
            raw_input_contents=[np.array(row, np.float32).tobytes()],
        )
        for name, value in (parameters or {}).items():
            kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
            setattr(request.parameters[name], kind, value)
        try:
            answer, call = self._infer.with_call(request, timeout=60, metadata=tuple((headers or {}).items()))
        except grpc.RpcError as error:
            return Reply(error.code().value[0], "", "", error.details())
        side = next((value for key, value in call.initial_metadata() if key == "x-maas-side"), "")
        return Reply(0, answer.model_version, side)

    def close(self) -> None:
        self._channel.close()


Caller = HttpCaller | GrpcCaller


@dataclass
class Gateway:
    """A running `maas gateway --json`."""

    process: subprocess.Popen[str]
    state: Path
    events: queue.Queue[dict[str, Any]]
    stderr: list[str]
    ready: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def grpc(self) -> str:
        return str(self.ready["grpc"])

    @contextlib.contextmanager
    def callers(self) -> Iterator[tuple[HttpCaller, GrpcCaller]]:
        both = HttpCaller(self.url), GrpcCaller(self.grpc)
        try:
            yield both
        finally:
            for caller in both:
                caller.close()

    def route(self, routing: Routing) -> None:
        """Writes the routing and waits until it is served."""
        wait_applied(self.state, write_routing(self.state, routing), 20)

    def split(self, stable: Stub, candidate: Stub, percent: int, mirror_percent: int = 0) -> None:
        """Sends that share of the callers of the stubs' model to the candidate."""
        split = Split(candidate_percent=percent, mirror_percent=mirror_percent, candidate_version=2)
        self.route(Routing(stable=upstream(stable), candidate=upstream(candidate), splits={MODEL: split}))
        self.wait_candidate()

    def wait_candidate(self) -> None:
        """Returns when Envoy takes the candidate for ready; one that stands still when it is asked first is not."""
        healthy = r"^cluster\.candidate_(http|grpc)\.membership_healthy$"
        wait_until(lambda: self._sum_of(healthy) == 2, "the candidate is ready")

    def in_flight(self, servers: str = "(stable|candidate)") -> int:
        """How many requests these servers have been sent and have not answered."""
        return self._sum_of(rf"^cluster\.{servers}_(http|grpc)\.upstream_rq_active$")

    def _sum_of(self, stats: str) -> int:
        return sum(EnvoyAdmin(self.ready["admin"]).stats(stats).values())

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        passed = []
        deadline = time.monotonic() + EVENT_TIMEOUT_S
        while True:
            try:
                event = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no event {name!r} within {EVENT_TIMEOUT_S:g} s, but {passed}; stderr: {self.stderr}")
            if event["event"] == name:
                return event
            passed.append(event["message"])

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """That process stands still while the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        # The signal is on its way when kill() returns.
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, f"process {pid} stands still")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def upstream(server: Stub | Served) -> Upstream:
    return Upstream(http=urlsplit(server.http).netloc, grpc=urlsplit(server.grpc).netloc)


def start_gateway(state: Path, stable: Upstream | None, *options: str, stdin: int = subprocess.DEVNULL) -> Gateway:
    """Starts `maas gateway` on free ports and waits until it is ready. By default it asks for no keys."""
    command = [sys.executable, "-m", "maas_core", "gateway", "--json", "--port", "0", "--state", str(state), *options]
    if stable is not None:
        command += ["--stable-http", stable.http, "--stable-grpc", stable.grpc]
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ}
    )
    events: queue.Queue[dict[str, Any]] = queue.Queue()
    stderr: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout, process.stderr
    threading.Thread(target=lambda: [events.put(json.loads(line)) for line in out], daemon=True).start()
    threading.Thread(target=lambda: stderr.extend(err), daemon=True).start()
    gateway = Gateway(process, state, events, stderr, {})
    try:
        gateway.ready = gateway.event("ready")
    except BaseException:
        process.kill()
        raise
    return gateway


@contextlib.contextmanager
def running_gateway(state: Path, stable: Upstream | None, *options: str) -> Iterator[Gateway]:
    """A gateway without keys, while the block runs."""
    gateway = start_gateway(state, stable, "--no-keys", "--drain-timeout", "5", *options)
    try:
        yield gateway
    finally:
        gateway.stop()
