"""Starting servers over one repository: everything that several starts of the same server share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_server.binary import backends_dir, find_binary
from maas_server.errors import PortTaken, StartFailed
from maas_server.failures import FailureReader
from maas_server.leftovers import shm_prefix
from maas_server.ports import LOOPBACK, choose_ports
from maas_server.process import TritonOptions, TritonProcess, describe_exit
from maas_server.runtime_dir import make_runtime_dir
from maas_server.server_log import last_error, missing_library, read_log
from maas_server.triton_http import TritonHttp

_POLL_S = 0.02
_START_TIMEOUT_S = 60.0
_EVERYWHERE = "0.0.0.0"  # noqa: S104  # compared with, not bound to
ANY_PORT: Mapping[str, int] = {"http": 0, "grpc": 0, "metrics": 0}


@dataclass(frozen=True)
class RunningTriton:
    """A server that answers; it may still have to load its models.

    Attributes:
        process: the process.
        api: its endpoints.
        ports: by name: http, grpc, metrics.
        log_start: the byte where this run begins in the log.
        failures: finds out why a model does not load.
        started: when, by ``time.monotonic()``.
    """

    process: TritonProcess
    api: TritonHttp
    ports: Mapping[str, int]
    log_start: int
    failures: FailureReader
    started: float


class Launcher:
    """Starts servers over one repository, one at a time. Close it to remove its runtime folder.

    Args:
        repository: a folder with one sub-folder per model.
        log_path: where the servers write.
        tritonserver: the server to run; by default the one on ``PATH``, else the wheel's.
        backends: folders with further backends; ours are there in any case.
        token: what opens the restricted APIs; ``None`` restricts none.
        address: what HTTP and gRPC listen on.
        exit_timeout_s: how long a stopping server waits for requests in flight.
        extra_arguments: further arguments of ``tritonserver``.
    """

    def __init__(
        self,
        repository: Path,
        log_path: Path,
        *,
        tritonserver: Path | None = None,
        backends: Sequence[Path] = (),
        token: str | None = None,
        address: str = LOOPBACK,
        exit_timeout_s: float = 30.0,
        extra_arguments: Sequence[str] = (),
    ) -> None:
        self.binary = find_binary(tritonserver)
        self.log_path = log_path
        self._repository = repository.absolute()
        self._token = token
        self._address = address
        self._exit_timeout_s = max(1, int(exit_timeout_s))
        self._extra_arguments = extra_arguments
        self._runs = 0
        self._runtime = make_runtime_dir(self.binary, repository, [*backends, backends_dir()])

    def close(self) -> None:
        """Removes the runtime folder."""
        self._runtime.remove()

    @property
    def shm_prefix(self) -> str:
        """The start of the names of the current run's shared memory."""
        return shm_prefix(self._runs)

    def start(self, wanted: Mapping[str, int] = ANY_PORT) -> RunningTriton:
        """Starts a server without any model loaded, and waits until it answers.

        Args:
            wanted: the ports of http, grpc and metrics; 0 takes a free one.

        Raises:
            PortTaken: where a given port is in use.
            StartFailed: where the server ended; with the reason from its log.
        """
        tries = 3 if 0 in wanted.values() else 1
        for _ in range(tries - 1):
            try:
                return self._start_once(wanted)
            except PortTaken:
                # A free port may be taken by another process between its choice and its use; a given one not.
                choose_ports({name: port for name, port in wanted.items() if port}, self._address)
        return self._start_once(wanted)

    def _start_once(self, wanted: Mapping[str, int]) -> RunningTriton:
        ports = choose_ports(wanted, self._address)
        self._runs += 1
        options = TritonOptions(
            http_port=ports["http"],
            grpc_port=ports["grpc"],
            metrics_port=ports["metrics"],
            shm_prefix=self.shm_prefix,
            address=self._address,
            token=self._token,
            exit_timeout_s=self._exit_timeout_s,
            extra_arguments=self._extra_arguments,
        )
        started = time.monotonic()
        log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        host = LOOPBACK if self._address == _EVERYWHERE else self._address
        running = RunningTriton(
            process=TritonProcess(self.binary, self._runtime, options, self.log_path),
            api=TritonHttp(f"{host}:{ports['http']}", self._token),
            ports=ports,
            log_start=log_start,
            failures=FailureReader(
                lambda: read_log(self.log_path, log_start), self._runtime.repository, self._repository
            ),
            started=started,
        )
        try:
            self._wait_until_it_answers(running)
        except BaseException:
            running.process.kill()
            raise
        return running

    def _wait_until_it_answers(self, running: RunningTriton) -> None:
        deadline = running.started + _START_TIMEOUT_S
        while not running.api.is_ready():
            self.raise_if_ended(running)
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"the server at {running.api.address} did not answer within {_START_TIMEOUT_S:g} s",
                    f"read {self.log_path}",
                )
            time.sleep(_POLL_S)
        # What answered may be another server, which holds the port that ours did not get.
        self.raise_if_ended(running)

    def raise_if_ended(self, running: RunningTriton) -> None:
        """Tells why the server ended, where it has.

        Raises:
            PortTaken: where it could not listen.
            StartFailed: otherwise.
        """
        exit_code = running.process.exit_code()
        if exit_code is None:
            return
        text = read_log(self.log_path, running.log_start)
        reason = last_error(text) or "its log is empty"
        if "already in use" in reason:
            raise PortTaken(f"the server could not listen: {reason}", "give another port (0 takes a free one)")
        library = missing_library(text)
        if library is not None:
            raise StartFailed(f"the server ended at once: the library {library} is missing", "see `maas doctor`")
        raise StartFailed(
            f"the server ended ({describe_exit(exit_code)}): {reason}", f"the whole log is {self.log_path}"
        )
