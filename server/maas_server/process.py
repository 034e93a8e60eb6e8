"""One run of ``tritonserver``: its command line, its environment, its start and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_core.ports import LOOPBACK
from maas_server import guard
from maas_server.binary import TritonBinary
from maas_server.errors import StartFailed
from maas_server.runtime_dir import RuntimeDir
from maas_server.server_log import last_error, read_log
from maas_server.triton_http import TOKEN_HEADER

_RESTRICTED = ("model-repository", "trace", "logging")
_SHARED_MEMORY = "shared-memory"
_KILL_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class TritonOptions:
    """How a server is to run.

    Attributes:
        models: what it loads before it listens: until then a caller is refused a connection, which it may retry, and
            not told that there is no such model.
        http_port: never 0: a free one is chosen before.
        grpc_port: likewise.
        metrics_port: likewise.
        shm_prefix: what the names of its shared memory start with.
        address: what HTTP and gRPC listen on; metrics are always on loopback.
        token: what opens the shared-memory, repository, trace and logging APIs; ``None`` leaves them open.
        allow_shared_memory: leaves the shared-memory API open in any case.
        exit_timeout_s: how long a stopping server waits for requests in flight.
        extra_arguments: further arguments, as ``tritonserver --help`` has them.
    """

    models: Sequence[str]
    http_port: int
    grpc_port: int
    metrics_port: int
    shm_prefix: str
    address: str = LOOPBACK
    token: str | None = None
    allow_shared_memory: bool = False
    exit_timeout_s: int = 30
    extra_arguments: Sequence[str] = ()


def command_line(binary: TritonBinary, runtime: RuntimeDir, options: TritonOptions) -> list[str]:
    """The arguments of ``tritonserver``, the program first."""
    arguments = [
        str(binary.path),
        f"--model-repository={runtime.repository}",
        f"--backend-directory={runtime.backends}",
        "--model-control-mode=explicit",
        "--exit-on-error=false",
        "--strict-readiness=false",
        f"--http-address={options.address}",
        f"--grpc-address={options.address}",
        f"--metrics-address={LOOPBACK}",
        f"--http-port={options.http_port}",
        f"--grpc-port={options.grpc_port}",
        f"--metrics-port={options.metrics_port}",
        f"--exit-timeout-secs={options.exit_timeout_s}",
        "--allow-gpu-metrics=false",
        "--log-format=ISO8601",
    ]
    arguments += [f"--cache-directory={runtime.caches}"] if runtime.caches is not None else []
    arguments += [f"--load-model={model}" for model in options.models]
    arguments += [
        f"--backend-config={backend.name},shm-region-prefix-name={options.shm_prefix}"
        for backend in sorted(runtime.backends.iterdir())
    ]
    if options.token is not None:
        restricted = ",".join(_RESTRICTED if options.allow_shared_memory else (_SHARED_MEMORY, *_RESTRICTED))
        arguments += [
            f"--http-restricted-api={restricted}:{TOKEN_HEADER}={options.token}",
            f"--grpc-restricted-protocol={restricted}:{TOKEN_HEADER}={options.token}",
        ]
    return [*arguments, *options.extra_arguments]


def environment_for(runtime: RuntimeDir) -> dict[str, str]:
    """The server's environment variables.

    The stub finds its packages through the first ``python3`` on ``PATH``. ``PYTHONPATH`` and ``PYTHONHOME`` are not
    passed on: they may name another Python's packages.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    if runtime.libraries:
        inherited = environment.get("LD_LIBRARY_PATH")
        folders = [*map(str, runtime.libraries), *([inherited] if inherited else [])]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
        environment["PATH"] = os.pathsep.join([str(runtime.environment / "bin"), environment.get("PATH", os.defpath)])
    return environment


class TritonProcess:
    """A running ``tritonserver``. It dies with the process that started it.

    Attributes:
        pid: of the server itself.

    Raises:
        StartFailed: where the process that looks after it ended before it started one.
    """

    def __init__(self, binary: TritonBinary, runtime: RuntimeDir, options: TritonOptions, log_path: Path) -> None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        arguments = [str(os.getpid()), str(runtime.path), options.shm_prefix]
        with log_path.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *arguments, *command_line(binary, runtime, options)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment_for(runtime),
                start_new_session=True,
                umask=0o077,
            )
        assert self._guard.stdout is not None  # noqa: S101  # a pipe by construction
        first_line = self._guard.stdout.readline()
        self._guard.stdout.close()
        if not first_line.strip().isdigit():
            self._guard.kill()
            how = describe_exit(self._guard.wait())
            raise StartFailed(
                f"the process that runs the server ended at once ({how}): "
                f"{last_error(read_log(log_path)) or 'its log is empty'}",
                f"the whole log is {log_path}",
            )
        self.pid = int(first_line)

    def exit_code(self) -> int | None:
        """``None`` while it runs; 128 and the signal's number where one ended it."""
        return self._guard.poll()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits for the end; ``None`` where it did not come in time."""
        try:
            return self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Asks the server to answer what is in flight and stop."""
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server and its stubs at once."""
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            if self.wait(_KILL_TIMEOUT_S) is None:
                self._guard.kill()
                self._guard.wait()

    def stop(self, timeout_s: float) -> None:
        """Asks, waits ``timeout_s``, and then kills."""
        self.terminate()
        if self.wait(timeout_s) is None:
            self.kill()


def signal_of(exit_code: int) -> signal.Signals | None:
    """The signal behind an exit code: 128 and its number (a shell's way) or negative (``subprocess``'s)."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    # Programs also end themselves with codes above 128 that are no signal's, e.g. 255.
    return signal.Signals(number) if number in set(signal.Signals) else None


def describe_exit(exit_code: int) -> str:
    """An exit code in words."""
    ended_by = signal_of(exit_code)
    return f"killed by {ended_by.name}" if ended_by else f"exit code {exit_code}"
