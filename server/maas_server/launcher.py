"""Starting servers over one repository: everything that several starts of the same server share."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_core.ports import LOOPBACK, PortHold
from maas_server.binary import backends_dir, find_binary
from maas_server.errors import StartCancelled, StartFailed
from maas_server.failures import FailureReader
from maas_server.leftovers import shm_prefix
from maas_server.process import TritonOptions, TritonProcess, describe_exit, signal_of
from maas_server.runtime_dir import make_runtime_dir
from maas_server.server_log import last_error, missing_library, read_log, uncaught_exception, unfinished_models
from maas_server.triton_http import TritonHttp
from maas_server.unheard import EarlyDeaths

_POLL_S = 0.02
_START_TIMEOUT_S = 60.0
_EVERYWHERE = "0.0.0.0"  # noqa: S104  # compared with, not bound to
ANY_PORT: Mapping[str, int] = {"http": 0, "grpc": 0, "metrics": 0}


@dataclass(frozen=True)
class RunningTriton:
    """A server that answers.

    Attributes:
        process: the process.
        api: its endpoints.
        log_start: the byte where this run begins in the log.
        failures: finds out why a model does not load.
        started: when, by ``time.monotonic()``.
    """

    process: TritonProcess
    api: TritonHttp
    log_start: int
    failures: FailureReader
    started: float


class Launcher:
    """Starts servers over one repository, one at a time, on the same ports. Close it when it is done.

    Args:
        repository: a folder with one sub-folder per model.
        log_path: where the servers write.
        ports: of http, grpc and metrics; 0 takes a free one.
        tritonserver: the server to run; by default the one on ``PATH``, else the wheel's.
        backends: folders with further backends; ours are there in any case.
        token: what opens the restricted APIs; ``None`` restricts none.
        allow_shared_memory: leaves the shared-memory API open in any case.
        address: what HTTP and gRPC listen on.
        exit_timeout_s: how long a stopping server waits for requests in flight.
        extra_arguments: further arguments of ``tritonserver``.

    Raises:
        TritonNotFound: where there is no ``tritonserver``.
        UnusableEnvironment: where this machine or this Python cannot run it.
        PortTaken: where a given port is in use.
    """

    def __init__(
        self,
        repository: Path,
        log_path: Path,
        *,
        ports: Mapping[str, int] = ANY_PORT,
        tritonserver: Path | None = None,
        backends: Sequence[Path] = (),
        token: str | None = None,
        allow_shared_memory: bool = False,
        address: str = LOOPBACK,
        exit_timeout_s: float = 30.0,
        extra_arguments: Sequence[str] = (),
    ) -> None:
        self.binary = find_binary(tritonserver)
        self.log_path = log_path
        self._repository = repository.absolute()
        self._token = token
        self._allow_shared_memory = allow_shared_memory
        self._address = address
        self._exit_timeout_s = max(1, int(exit_timeout_s))
        self._extra_arguments = extra_arguments
        self._runs = 0
        self._hold = PortHold(ports, address)
        self._runtime = make_runtime_dir(self.binary, repository, [*backends, backends_dir()])

    def close(self) -> None:
        """Gives the ports up and removes the runtime folder."""
        self._hold.release()
        self._runtime.remove()

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports of http, grpc and metrics; every server of this launcher has the same."""
        return self._hold.ports

    def start(
        self,
        models: Sequence[str] = (),
        timeout_s: float = _START_TIMEOUT_S,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> RunningTriton:
        """Starts a server, and waits until it has tried to load ``models`` and answers.

        Args:
            models: what it loads before it listens; one that does not load leaves the others serving.
            timeout_s: how long that may take.
            cancelled: whether to give up.

        Raises:
            StartFailed: where the server ended or took too long; with the reason from its log.
            StartCancelled: where ``cancelled`` said so.
        """
        ports = self._hold.ports
        self._runs += 1
        options = TritonOptions(
            models=models,
            http_port=ports["http"],
            grpc_port=ports["grpc"],
            metrics_port=ports["metrics"],
            shm_prefix=shm_prefix(self._runs),
            address=self._address,
            token=self._token,
            allow_shared_memory=self._allow_shared_memory,
            exit_timeout_s=self._exit_timeout_s,
            extra_arguments=self._extra_arguments,
        )
        started = time.monotonic()
        log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        host = LOOPBACK if self._address == _EVERYWHERE else self._address
        running = RunningTriton(
            process=TritonProcess(self.binary, self._runtime, options, self.log_path),
            api=TritonHttp(f"{host}:{ports['http']}", self._token),
            log_start=log_start,
            failures=FailureReader(
                lambda: read_log(self.log_path, log_start), self._runtime.repository, self._repository
            ),
            started=started,
        )
        try:
            self._wait_until_it_answers(running, timeout_s, cancelled)
        except BaseException:
            running.process.kill()
            raise
        return running

    def _wait_until_it_answers(self, running: RunningTriton, timeout_s: float, cancelled: Callable[[], bool]) -> None:
        early_deaths = EarlyDeaths(running.process.pid)
        while not running.api.is_ready():
            self.raise_if_ended(running)
            early_deaths.look()
            if cancelled():
                raise StartCancelled
            if time.monotonic() > running.started + timeout_s:
                loading = unfinished_models(read_log(self.log_path, running.log_start))
                raise StartFailed(
                    f"the server was not ready after {timeout_s:g} s (still loading: {_names(loading)})",
                    f"name the other models with --models; the log is {self.log_path}",
                    loading=loading,
                    timed_out=True,
                )
            time.sleep(_POLL_S)
        # What answered may be another server, which holds the port that ours did not get.
        self.raise_if_ended(running)

    def describe_end(self, running: RunningTriton) -> str:
        """How a server that is no more ended: its signal or exit code, and the exception that it did not catch."""
        exit_code = running.process.exit_code() or 0
        how = describe_exit(exit_code)
        if signal_of(exit_code) != signal.SIGABRT:
            return how  # an exception in the log is a stub's then
        exception = uncaught_exception(read_log(self.log_path, running.log_start))
        return f"{how}, {exception}" if exception else how

    def raise_if_ended(self, running: RunningTriton) -> None:
        """Tells why the server ended, where it has.

        Raises:
            StartFailed: with the reason from its log.
        """
        if running.process.exit_code() is None:
            return
        text = read_log(self.log_path, running.log_start)
        reason = last_error(text) or "its log is empty"
        library = missing_library(text)
        if library is not None:
            raise StartFailed(f"the server ended at once: the library {library} is missing", "see `maas doctor`")
        how = self.describe_end(running)
        loading = unfinished_models(text)
        if loading:
            raise StartFailed(
                f"the server ended ({how}) while loading {_names(loading)}",
                f"name the other models with --models; the log is {self.log_path}",
                loading=loading,
            )
        raise StartFailed(f"the server ended ({how}): {reason}", f"the whole log is {self.log_path}")


def _names(models: Collection[str]) -> str:
    return ", ".join(sorted(models)) or "none"
