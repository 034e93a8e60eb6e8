"""FastAPI, LitServe and BentoML: each in the benchmark's own environment, as a process of its own."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from bench.load_programs.wrk import Post
from bench.models import Array, Model, bench_dir
from bench.peers.peer import HTTP, Peer, Running
from maas_core.errors import NotReachable
from maas_core.ports import choose_ports

APPS = Path(__file__).parent / "apps"
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 10.0

Encode = Callable[[Array], bytes]
Decode = Callable[[bytes], Array]


class _NotYet(Exception):
    """The server listens, but its workers are not up."""


def _fastapi(port: int, model: Model) -> list[str]:
    workers = str(model.peer_workers)
    speed = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return [
        _program("uvicorn"),
        "fastapi_app:app",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        workers,
        *speed,
    ]


def _litserve(port: int, model: Model) -> list[str]:
    return [_program("python"), "litserve_app.py", str(port)]


def _bentoml(port: int, model: Model) -> list[str]:
    return [_program("bentoml"), "serve", "bentoml_app:Served", "--host", "127.0.0.1", "--port", str(port)]


def _program(name: str) -> str:
    return str((bench_dir() / "venv" / "bin" / name).absolute())


def _raw(row: Array) -> bytes:
    return row.tobytes()


def _from_raw(body: bytes) -> Array:
    return np.frombuffer(body, np.float32)


def _in_json(row: Array) -> bytes:
    return json.dumps({"rows": base64.b64encode(row.tobytes()).decode()}).encode()


def _in_json_list(row: Array) -> bytes:
    return json.dumps({"rows": [base64.b64encode(row.tobytes()).decode()]}).encode()


def _from_json_list(body: bytes) -> Array:
    return np.frombuffer(base64.b64decode(json.loads(body)[0]), np.float32)


def _peer(
    name: str, command: Callable[[int, Model], list[str]], path: str, content_type: str, encode: Encode, decode: Decode
) -> Peer:
    @contextmanager
    def start(model: Model) -> Iterator[Running]:
        port = choose_ports({"peer": 0})["peer"]
        address = f"127.0.0.1:{port}"
        row = model.draw(np.random.default_rng(7))
        started = time.monotonic()
        log = bench_dir() / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w+") as words, _process(command(port, model), model, words) as process:

            def ask(row: Array) -> Array:
                return decode(_send(address, path, content_type, encode(row)))

            _wait(process, lambda: ask(row), started, name, log)
            yield Running(
                pid=process.pid,
                post=Post(f"http://{address}{path}", encode(row), {"Content-Type": content_type}),
                startup_s=time.monotonic() - started,
                ask=ask,
            )

    return Peer(name, (HTTP,), start)


@contextmanager
def _process(command: Sequence[str], model: Model, words: IO[str]) -> Iterator[subprocess.Popen[str]]:
    row = model.draw(np.random.default_rng(7))
    environment = {
        **os.environ,
        "BENCH_MODEL": str(model.path.absolute()),
        "BENCH_THREADS": str(model.peer_threads),
        "BENCH_WORKERS": str(model.peer_workers),
        "BENCH_BATCH_SIZE": str(max(model.batch_sizes)),
        "BENCH_DTYPE": row.dtype.name,
        "BENCH_DIMS": json.dumps(row.shape[1:]),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str((bench_dir() / "bentoml").absolute()),
        "OMP_NUM_THREADS": str(model.peer_threads),
        "PATH": os.pathsep.join([str(Path(_program("python")).parent), os.environ.get("PATH", os.defpath)]),
    }
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen(
        command,
        cwd=APPS,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=words,
        stderr=words,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    """Asks, waits, and then kills the whole group: not all of them take their workers with them."""
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _wait(process: subprocess.Popen[str], ask: Callable[[], Array], started: float, name: str, log: Path) -> None:
    while process.poll() is None and time.monotonic() - started < _START_TIMEOUT_S:
        try:
            ask()
        except (OSError, http.client.HTTPException, _NotYet):
            time.sleep(0.02)
        else:
            return
    raise NotReachable(f"{name} did not answer within {_START_TIMEOUT_S:g} s", f"its own words are in {log}")


def _send(address: str, path: str, content_type: str, body: bytes) -> bytes:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": content_type})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        raise _NotYet
    if response.status != http.HTTPStatus.OK:
        raise NotReachable(f"http://{address}{path} answered {response.status}: {answer[:200]!r}")
    return answer


FASTAPI = _peer("FastAPI", _fastapi, "/infer", "application/octet-stream", _raw, _from_raw)
LITSERVE = _peer("LitServe", _litserve, "/predict", "application/json", _in_json, _from_raw)
BENTOML = _peer("BentoML", _bentoml, "/infer", "application/json", _in_json_list, _from_json_list)
