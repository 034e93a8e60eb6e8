"""The stable server and the candidate: ``maas serve``, each over a view of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from maas_client.ownership import owner_is_gone
from maas_core.config import DIGEST_PARAMETER
from maas_core.errors import NotHeld, NotReachable
from maas_core.layout import view_dir
from maas_core.releases import journals_dir
from maas_rollout.golden_check import check_golden
from maas_rollout.ports import Address
from maas_server.loading import ready_models
from maas_server.state_file import ServeState, read_states, read_token
from maas_server.triton_http import TritonHttp, TritonRefused, TritonUnreachable

_POLL_S = 0.1
_FETCH_TIMEOUT_S = 10.0
_KILL_AFTER_S = 10.0
_KILLED_WITHIN_S = 30.0
"""The kernel frees the memory of a killed process before that is gone, and on a machine short of it that takes time."""
_VERSION_INFO = "maas_version_info"


class ServedView:
    """A running ``maas serve``, found by the view that it serves.

    Args:
        view: the view's name.
        repository: the model repository that it must serve.
    """

    def __init__(self, view: str, repository: Path) -> None:
        self.view = view
        self._repository = repository

    def address(self) -> Address | None:
        """See :class:`maas_rollout.ports.Server`."""
        state = self._state()
        if state is None or not state.http:
            return None
        ports = (url.split("://")[1].split("/")[0] for url in (state.http, state.grpc, state.metrics))
        http, grpc, metrics = ports
        return Address(http, grpc, metrics, state.pid, state.triton_pid, state.restarts)

    def ready_versions(self) -> dict[str, list[int]]:
        """See :class:`maas_rollout.ports.Server`."""
        try:
            return ready_models(self._api())
        except (TritonUnreachable, TritonRefused) as error:
            raise NotReachable(f"the server of the view {self.view!r} does not answer: {error}") from error

    def failed(self) -> dict[str, str]:
        """See :class:`maas_rollout.ports.Server`."""
        return dict(self._running().failed)

    def digest(self, model: str, version: int) -> str | None:
        """By the metric of the backend that has the version loaded; what has no such backend says it in its config."""
        metric = self._digest_by_metric(model, version)
        if metric is not None:
            return metric
        try:
            parameters = self._api().config(model).get("parameters", {})
        except (TritonUnreachable, TritonRefused) as error:
            raise NotReachable(f"the server of the view {self.view!r} does not answer: {error}") from error
        value = parameters.get(DIGEST_PARAMETER, {}).get("string_value")
        return str(value) if value else None

    def check_golden(self, model: str, version: int) -> dict[str, Any]:
        """See :class:`maas_rollout.ports.Server`."""
        state = self._running()
        return check_golden(self._repository / model / str(version), (state.http, state.grpc))

    def _state(self) -> ServeState | None:
        found = (state for state in read_states() if state.view == self.view and not state.is_stale)
        return next(found, None)

    def _running(self) -> ServeState:
        state = self._state()
        if state is None or not state.http:
            raise NotReachable(f"no server of the view {self.view!r} runs", f"start `maas serve --view {self.view}`")
        served = Path(state.repository).resolve()
        if served != self._repository.resolve():
            raise NotHeld(f"the view {self.view!r} shows {served}, wanted {self._repository}", "give --repository")
        return state

    def _api(self) -> TritonHttp:
        return TritonHttp(self._running().http.removeprefix("http://"), read_token(self.view))

    def _digest_by_metric(self, model: str, version: int) -> str | None:
        url = self._running().metrics
        try:
            with urllib.request.urlopen(url, timeout=_FETCH_TIMEOUT_S) as answer:  # noqa: S310  # our own server's
                text = answer.read().decode()
        except (OSError, urllib.error.URLError) as error:
            raise NotReachable(f"{url} does not answer: {error}") from error
        return digest_in(text, model, version)


class CandidateServer(ServedView):
    """The second server of one rollout. It is a process of its own, which a rollout that dies leaves serving.

    Args:
        model: the model that is released.
        repository: the model repository.
        load_timeout_s: how long its versions may take to be ready.
    """

    def __init__(self, model: str, repository: Path, load_timeout_s: float) -> None:
        super().__init__(candidate_view(model), repository)
        self._load_timeout_s = load_timeout_s
        self.log = journals_dir() / f"{model}.candidate.log"

    def start(self, versions: Mapping[str, int]) -> None:
        """See :class:`maas_rollout.ports.Candidate`."""
        self.stop(0.0)
        process = self._spawn(versions)
        deadline = time.monotonic() + self._load_timeout_s
        try:
            while not self._has_ready(versions):
                if process.poll() is not None:
                    raise NotHeld(f"the candidate did not start: {self._last_words()}", f"see {self.log}")
                if time.monotonic() > deadline:
                    raise NotHeld(f"the candidate is not ready within {self._load_timeout_s:g} s", f"see {self.log}")
                time.sleep(_POLL_S)
        except BaseException:
            # No caller is on it yet, whatever the reason: also Ctrl-C leaves none behind that nobody would find.
            self._abandon(process)
            raise

    def stop(self, drain_timeout_s: float) -> None:
        """See :class:`maas_rollout.ports.Candidate`."""
        state = self._state()
        if state is not None:
            self._end(state, drain_timeout_s)
        # Its hard links would keep the room of versions that are pruned.
        shutil.rmtree(view_dir(self.view), ignore_errors=True)

    def _end(self, state: ServeState, drain_timeout_s: float) -> None:
        with suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGTERM)
            if drain_timeout_s == 0.0:
                # The second one hurries.
                time.sleep(_POLL_S)
                os.kill(state.pid, signal.SIGTERM)
        if _is_gone_within(state, drain_timeout_s + _KILL_AFTER_S):
            return
        # It hangs. Its Triton ends with it: the process that guards Triton sees to that.
        with suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGKILL)
        if not _is_gone_within(state, _KILLED_WITHIN_S):
            raise NotReachable(f"the candidate (process {state.pid}) does not stop", f"end it, see {self.log}")

    def _abandon(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a candidate that was just started, also one that has written no state file yet."""
        self.stop(0.0)
        if process.poll() is None:
            process.kill()
            process.wait()

    def _state(self) -> ServeState | None:
        for state in read_states():
            if state.view == self.view:
                _reap(state.pid)
        return super()._state()

    def _spawn(self, versions: Mapping[str, int]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "maas_core", "serve", "--repository", str(self._repository), "--json"]
        command += ["--view", self.view, "--models", ",".join(versions)]
        command += ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
        command += ["--load-timeout", str(self._load_timeout_s)]
        for model, version in versions.items():
            command += ["--pin", f"{model}={version}"]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _has_ready(self, versions: Mapping[str, int]) -> bool:
        state = self._state()
        if state is None or state.phase != "serving":
            return False
        failed = {model: why for model, why in state.failed.items() if model in versions}
        if failed:
            raise NotHeld("; ".join(f"the candidate does not load {model}: {why}" for model, why in failed.items()))
        return all(state.models.get(model) == [version] for model, version in versions.items())

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        try:
            return str(json.loads(last).get("message", last))
        except (ValueError, AttributeError):
            return last


def candidate_view(model: str) -> str:
    """The view of the second server while ``model`` is released."""
    return f"candidate-{model}"


def digest_in(metrics: str, model: str, version: int) -> str | None:
    """The digest that ``maas_version_info`` tells of one version, in Prometheus' text format."""
    wanted = {"model": model, "version": str(version)}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == _VERSION_INFO and sample.value == 1 and wanted.items() <= sample.labels.items():
                return sample.labels["digest"]
    return None


def _reap(pid: int) -> None:
    """A child of this very process stays a zombie until it is waited for."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _is_gone_within(state: ServeState, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not owner_is_gone(state.owner):
        _reap(state.pid)
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
