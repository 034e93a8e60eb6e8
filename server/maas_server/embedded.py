"""Embedded Triton as a context manager: a real server over one repository folder, for as long as a block runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maas_core.layout import build_dir
from maas_server.binary import backends_dir, find_binary
from maas_server.errors import NothingToServe, PortTaken, StartFailed
from maas_server.ports import LOOPBACK, choose_ports
from maas_server.process import TritonOptions, TritonProcess, describe_exit
from maas_server.runtime_dir import make_runtime_dir
from maas_server.server_log import last_error, missing_library, one_line, read_log, unfinished_models
from maas_server.triton_http import TritonHttp

_POLL_S = 0.02
_PORT_TRIES = 3


@dataclass(frozen=True)
class EmbeddedTriton:
    """A running server.

    Attributes:
        http_url: host and port of HTTP, e.g. ``127.0.0.1:8000``, as ``tritonclient`` takes it.
        grpc_url: host and port of gRPC.
        metrics_url: where Prometheus fetches, e.g. ``http://127.0.0.1:8002/metrics``.
        pid: of ``tritonserver`` itself.
        log_path: the server's log; it is kept when the server stops.
        models: the versions that are ready, by model.
        failed: the reason, one line, for each model that did not load.
        startup_s: seconds from the start to readiness.
        api: the server's own endpoints (index, load, unload, statistics).
        process: the process behind it.
    """

    http_url: str
    grpc_url: str
    metrics_url: str
    pid: int
    log_path: Path
    models: dict[str, list[int]]
    failed: dict[str, str]
    startup_s: float
    api: TritonHttp
    process: TritonProcess


@contextmanager
def embedded_triton(
    repository: Path,
    *,
    models: Sequence[str] | None = None,
    http_port: int = 0,
    grpc_port: int = 0,
    metrics_port: int = 0,
    tritonserver: Path | None = None,
    backends: Sequence[Path] = (),
    token: str | None = None,
    log_path: Path | None = None,
    ready_timeout_s: float = 120.0,
    stop_timeout_s: float = 15.0,
    extra_arguments: Sequence[str] = (),
) -> Iterator[EmbeddedTriton]:
    """Serves ``repository`` on 127.0.0.1 until the block ends.

    A model that does not load leaves the others serving; its reason is in ``failed``. The server dies with this
    process, however that ends. Paths may hold blanks.

    Args:
        repository: a folder with one sub-folder per model.
        models: what to load; all by default.
        http_port: 0 takes a free one.
        grpc_port: likewise.
        metrics_port: likewise.
        tritonserver: the server to run; by default the one on ``PATH``, else the wheel's.
        backends: folders with further backends, one sub-folder each; ours are there in any case.
        token: closes the shared-memory, repository, trace and logging APIs to everybody who does not send it.
        log_path: by default a new file under ``build/state/logs/``.
        ready_timeout_s: how long the models may take to load.
        stop_timeout_s: how long requests in flight may take when the block ends.
        extra_arguments: further arguments of ``tritonserver``.

    Raises:
        NothingToServe: where the repository does not exist or holds no such model.
        TritonNotFound: where there is no ``tritonserver``.
        UnusableEnvironment: where this machine or this Python cannot run it.
        PortTaken: where a given port is in use.
        StartFailed: where it ended or was not ready in time; with the reason from its log.
    """
    chosen = models_to_load(repository, models)
    binary = find_binary(tritonserver)
    log = log_path or new_log_path(repository.resolve().name)
    wanted = {"http": http_port, "grpc": grpc_port, "metrics": metrics_port}
    runtime = make_runtime_dir(binary, repository, [*backends, backends_dir()])
    try:
        for attempt in range(1, _PORT_TRIES + 1):
            ports = choose_ports(wanted)
            options = TritonOptions(
                models=chosen,
                http_port=ports["http"],
                grpc_port=ports["grpc"],
                metrics_port=ports["metrics"],
                token=token,
                exit_timeout_s=max(1, int(stop_timeout_s)),
                extra_arguments=extra_arguments,
            )
            started = time.monotonic()
            log_start = log.stat().st_size if log.exists() else 0
            process = TritonProcess(binary, runtime, options, log)
            try:
                api = TritonHttp(f"{LOOPBACK}:{ports['http']}", token)
                try:
                    wait_ready(process, api, log, log_start, ready_timeout_s)
                except PortTaken:
                    # Between choosing and using a free port another process may have taken it.
                    if attempt == _PORT_TRIES:
                        raise
                    continue
                ready, failed = served_models(api, chosen)
                yield EmbeddedTriton(
                    http_url=api.address,
                    grpc_url=f"{LOOPBACK}:{ports['grpc']}",
                    metrics_url=f"http://{LOOPBACK}:{ports['metrics']}/metrics",
                    pid=process.pid,
                    log_path=log,
                    models=ready,
                    failed=failed,
                    startup_s=time.monotonic() - started,
                    api=api,
                    process=process,
                )
            finally:
                process.stop(stop_timeout_s)
            return
    finally:
        runtime.remove()


def models_to_load(repository: Path, models: Sequence[str] | None) -> list[str]:
    """The names of the models to load.

    Raises:
        NothingToServe: where there is no such folder, or it holds no model, or not one that was named.
    """
    if not repository.is_dir():
        raise NothingToServe(f"there is no model repository at {repository}", "give --repository, or publish a model")
    present = sorted(entry.name for entry in repository.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not present:
        raise NothingToServe(f"the model repository {repository} holds no model", "publish one with `maas publish`")
    unknown = sorted(set(models or ()) - set(present))
    if unknown:
        raise NothingToServe(
            f"{', '.join(unknown)}: no such model in {repository}", f"name some of {', '.join(present)}"
        )
    return list(models) if models is not None else present


def new_log_path(name: str) -> Path:
    """A log file of its own for one server."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return build_dir() / "state" / "logs" / f"{name}-{stamp}-{time.monotonic_ns() % 10**6:06d}.log"


def wait_ready(process: TritonProcess, api: TritonHttp, log: Path, log_start: int, timeout_s: float) -> None:
    """Waits until the server has loaded what it was told to load.

    Args:
        process: the server.
        api: its endpoints.
        log: its log.
        log_start: the byte where this run begins in the log.
        timeout_s: how long to wait.

    Raises:
        PortTaken: where it could not listen.
        StartFailed: where it ended or was not ready in time; with the reason from its log.
    """
    deadline = time.monotonic() + timeout_s
    while not api.is_ready():
        exit_code = process.exit_code()
        if exit_code is not None:
            raise _ended(read_log(log, log_start), exit_code, log)
        if time.monotonic() > deadline:
            waiting = ", ".join(unfinished_models(read_log(log, log_start))) or "none named"
            raise StartFailed(
                f"the server was not ready after {timeout_s:g} s (still loading: {waiting})",
                f"read {log}, or leave the model out with --models",
            )
        time.sleep(_POLL_S)
    exit_code = process.exit_code()
    if exit_code is not None:
        # The one that answered holds the port and is another server.
        raise _ended(read_log(log, log_start), exit_code, log)


def _ended(text: str, exit_code: int, log: Path) -> StartFailed | PortTaken:
    reason = last_error(text) or "the log is empty"
    if "already in use" in reason:
        return PortTaken(f"the server could not listen: {reason}", "give another port (0 takes a free one)")
    library = missing_library(text)
    if library is not None:
        return StartFailed(f"the server ended at once: the library {library} is missing", "see `maas doctor`")
    loading = unfinished_models(text)
    if loading:
        return StartFailed(
            f"the server ended ({describe_exit(exit_code)}) while loading {', '.join(loading)}: {reason}",
            f"leave the model out with --models; the whole log is {log}",
        )
    return StartFailed(f"the server ended ({describe_exit(exit_code)}): {reason}", f"the whole log is {log}")


def served_models(api: TritonHttp, chosen: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, str]]:
    """What is ready (versions by model) and what of ``chosen`` is not (reason by model)."""
    ready: dict[str, list[int]] = {}
    reasons: dict[str, list[str]] = {}
    for entry in api.index():
        if entry.state == "READY" and entry.version is not None:
            ready.setdefault(entry.model, []).append(entry.version)
        elif entry.reason:
            reasons.setdefault(entry.model, []).append(entry.reason)
    failed = {
        model: one_line(" | ".join(reasons.get(model, []))) or "the server says nothing; see its log"
        for model in chosen
        if model not in ready
    }
    return ready, failed
