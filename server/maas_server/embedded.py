"""Embedded Triton as a context manager: a real server over one repository folder, for as long as a block runs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maas_core.layout import build_dir
from maas_core.ports import LOOPBACK
from maas_server.errors import NothingToServe
from maas_server.launcher import Launcher
from maas_server.loading import Loader, ready_models
from maas_server.triton_http import TritonHttp


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
        startup_s: seconds from the start to the end of the last load.
        api: the server's own endpoints (index, load, unload, statistics).
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
    allow_shared_memory: bool = False,
    log_path: Path | None = None,
    load_timeout_s: float = 120.0,
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
        token: closes the shared-memory, repository, trace and logging APIs to everybody who does not send it; by
            default a random one, which the returned ``api`` sends.
        allow_shared_memory: leaves the shared-memory API open to every caller on this machine.
        log_path: by default a new file under ``build/state/logs/``.
        load_timeout_s: how long the models may take to load.
        stop_timeout_s: how long requests in flight may take when the block ends.
        extra_arguments: further arguments of ``tritonserver``.

    Raises:
        NothingToServe: where the repository does not exist or holds no such model.
        TritonNotFound: where there is no ``tritonserver``.
        UnusableEnvironment: where this machine or this Python cannot run it.
        PortTaken: where a given port is in use.
        StartFailed: where the server ended; with the reason from its log.
    """
    chosen = models_to_load(repository, models)
    launcher = Launcher(
        repository,
        log_path or new_log_path(repository.resolve().name),
        ports={"http": http_port, "grpc": grpc_port, "metrics": metrics_port},
        tritonserver=tritonserver,
        backends=backends,
        token=token if token is not None else secrets.token_urlsafe(32),
        allow_shared_memory=allow_shared_memory,
        exit_timeout_s=stop_timeout_s,
        extra_arguments=extra_arguments,
    )
    try:
        running = launcher.start(chosen, load_timeout_s)
        try:
            ready = ready_models(running.api)
            missing = [model for model in chosen if model not in ready]
            failed = Loader(running.api, repository, running.failures, load_timeout_s).load_all(missing)
            # A second try may have loaded what the first did not.
            ready = ready_models(running.api)
            yield EmbeddedTriton(
                http_url=running.api.address,
                grpc_url=f"{LOOPBACK}:{launcher.ports['grpc']}",
                metrics_url=f"http://{LOOPBACK}:{launcher.ports['metrics']}/metrics",
                pid=running.process.pid,
                log_path=launcher.log_path,
                models=ready,
                failed={model: reason for model, reason in failed.items() if model not in ready},
                startup_s=time.monotonic() - running.started,
                api=running.api,
            )
        finally:
            running.process.stop(stop_timeout_s)
    finally:
        launcher.close()


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
