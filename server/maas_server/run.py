"""One life of a server under supervision: it loads its models, and gets dead stubs replaced."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from maas_core.crash_loop import CRASH_LIMIT, CrashLoop
from maas_server.launcher import RunningTriton
from maas_server.loading import Loader, ready_models, touch_versions
from maas_server.reporter import Reporter
from maas_server.stubs import Stub, StubFault, StubWatch, end_stub, fault_of, is_running, kill_stub
from maas_server.triton_http import TritonRefused, TritonUnreachable
from maas_server.unheard import EarlyDeaths, UnheardStubs, answer_for_unheard

_REFRESH_S = 2.0
_UNLOAD_TIMEOUT_S = 10.0


class Run:
    """The models of one running server.

    Args:
        running: the server.
        view: what it serves.
        load_timeout_s: how long a model may take to load.
        retire_after_s: how long requests in flight may take in instances that are replaced.
        loops: the crash loop of each model's stubs; it outlives this run.
        left_out: why a model is not loaded, by model; it outlives this run.
        refused: why what the repository has of a model is not what is served of it; likewise.
        reporter: whom to tell.
    """

    def __init__(
        self,
        running: RunningTriton,
        view: Path,
        *,
        load_timeout_s: float,
        retire_after_s: float,
        loops: dict[str, CrashLoop],
        left_out: dict[str, str],
        refused: Mapping[str, str],
        reporter: Reporter,
    ) -> None:
        self.running = running
        self.ready_at: float | None = None
        self._view = view
        self._loops = loops
        self._left_out = left_out
        self._refused = refused
        self._retire_after_s = retire_after_s
        self._reporter = reporter
        self._loader = Loader(running.api, view, running.failures, load_timeout_s)
        self._stubs = StubWatch(running.process.pid)
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="load")
        self._start: Future[dict[str, str]] | None = None
        self._loads: dict[str, Future[str]] = {}
        self._changed: set[str] = set()
        self._outcomes: dict[str, str] = {}
        self._present: dict[str, set[Stub]] = {}
        self._died: dict[str, set[Stub]] = {}
        self._unplaced: list[StubFault] = []
        self._unheard = UnheardStubs()
        self._early_deaths = EarlyDeaths(running.process.pid)
        self._overdue: set[str] = set()
        self._replaced: dict[str, set[Stub]] = {}
        self._retired: dict[Stub, float] = {}
        self._failed: dict[str, str] = {}
        self._ready: dict[str, list[int]] = {}
        self._loaded_at: dict[str, float] = {}
        self._next_refresh = 0.0
        self._was_stopped = False

    @property
    def failed(self) -> dict[str, str]:
        """Why a model that should serve does not."""
        return {**self._failed, **self._refused, **self._left_out}

    @property
    def models(self) -> dict[str, list[int]]:
        """The versions that are ready, by model."""
        return self._ready

    @property
    def loading(self) -> frozenset[str]:
        """The models whose load has begun and not ended."""
        return self._loader.loading

    @property
    def is_loading(self) -> bool:
        """Whether a load is under way. The view must not change then: Triton waits for ever for a file that is gone."""
        return bool(self._loads or self._overdue)

    def begin(self, models: Collection[str], settle_s: float | None) -> None:
        """Starts to load those of ``models`` that are not ready.

        Args:
            models: what this server should serve.
            settle_s: load one by one, as :meth:`Loader.load_one_by_one` does.
        """
        ready = ready_models(self.running.api)
        missing = [model for model in models if model not in ready]
        if settle_s is None:
            self._start = self._pool.submit(self._loader.load_all, missing)
        else:
            self._start = self._pool.submit(self._loader.load_one_by_one, missing, settle_s)

    def close(self) -> None:
        """Lets go of the loads that were still under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def tick(self) -> None:
        """Looks at everything once; call it several times a second."""
        self._end_stopped_server()
        self._finish_start()
        self._finish_loads()
        if self.ready_at is None:
            # One that dies before is told later: only then it is known whose it is.
            self._stubs.discover_if_due()
            self._early_deaths.look()
            return
        for model in list(self._overdue):
            self._overdue.discard(model)
            self._replace_after_death(model)
        for fault in [*self._placeable(), *self._stubs.scan()]:
            self._on_stub_fault(fault)
        self._answer_for_unheard()
        self._end_retired()
        if time.monotonic() >= self._next_refresh:
            self.refresh()

    def refresh(self) -> None:
        """Asks the server what is ready, and tells it."""
        self._next_refresh = time.monotonic() + _REFRESH_S
        try:
            self._ready = ready_models(self.running.api)
        except (TritonRefused, TritonUnreachable):
            # It is ending, or too busy to answer: the process is what tells.
            return
        self._failed = {m: reason for m, reason in self._failed.items() if m not in self._ready}
        self._reporter.serving(self._ready, self.failed)

    def load(self, model: str, *, anew: bool, delay_s: float = 0.0) -> None:
        """Starts to load one model.

        Args:
            model: its name; not one that is being loaded, see :attr:`is_loading`.
            anew: also where the version is the same.
            delay_s: how long to wait before.
        """
        if not anew:
            self._changed.add(model)
        self._present[model] = self._stubs_of(model)
        self._loads[model] = self._pool.submit(self._load, model, anew, delay_s)

    def take_outcomes(self) -> dict[str, str]:
        """Why a changed model did not load, or nothing where it did, for each whose load ended since the last call."""
        outcomes, self._outcomes = self._outcomes, {}
        return outcomes

    def unload(self, model: str) -> None:
        """Takes one model out."""
        self._failed.pop(model, None)
        try:
            self.running.api.unload(model, _UNLOAD_TIMEOUT_S)
        except (TritonRefused, TritonUnreachable) as error:
            self._reporter.load_failed(model, f"it could not be unloaded: {error}")

    def _load(self, model: str, anew: bool, delay_s: float) -> str:
        time.sleep(delay_s)
        began = time.monotonic()
        if anew:
            try:
                touch_versions(self._view, {model: self._ready.get(model, ())})
            except OSError as error:
                return f"its folder in the view cannot be touched: {error}"
        reason = self._loader.load(model)
        if not reason and anew:
            self._reporter.reloaded(model, time.monotonic() - began)
        return reason

    def _end_stopped_server(self) -> None:
        """A server that was stopped answers nobody; only when it has ended it is started again."""
        is_stopped = fault_of(self.running.process.pid) == "stopped"
        if is_stopped and self._was_stopped:
            self.running.process.kill()
        self._was_stopped = is_stopped

    def _finish_start(self) -> None:
        if self._start is None or not self._start.done() or self.ready_at is not None:
            return
        if not self.running.api.is_ready():
            # It ended meanwhile: what the loads say is only that.
            return
        self._note_results(self._start.result())
        self.ready_at = time.monotonic()
        self.refresh()
        self._loaded_at = dict.fromkeys(self._ready, self.ready_at)

    def _finish_loads(self) -> None:
        done = [model for model, future in self._loads.items() if future.done()]
        if not done or not self.running.api.is_ready():
            return
        reasons = {model: self._loads.pop(model).result() for model in done}
        self._note_results(reasons)
        self._loaded_at |= dict.fromkeys(done, time.monotonic())
        self.refresh()
        for model, reason in reasons.items():
            self._finish_load(model, reason)

    def _finish_load(self, model: str, reason: str) -> None:
        present = self._present.pop(model, set())
        # Where it loaded, only a new instance is missed; where it did not, only one of those that serve on.
        missed = {stub for stub in self._died.pop(model, set()) if (stub in present) == bool(reason)}
        if model in self._replaced and not reason:
            self._retire(self._replaced.pop(model))
        if model in self._changed:
            self._changed.discard(model)
            self._outcomes[model] = reason
        if model in self._replaced:
            self._loop_of(model).record(0.0)
            self._replace(model, f"it does not load anew: {reason}")
        elif missed:
            # Not yet: what the view shows of a model that did not load is put right first.
            self._overdue.add(model)

    def _note_results(self, reasons: Mapping[str, str]) -> None:
        for model, reason in reasons.items():
            self._failed.pop(model, None)
            if reason:
                self._failed[model] = reason
                self._reporter.load_failed(model, reason)
        self._stubs.discover()

    def _on_stub_fault(self, fault: StubFault) -> None:
        stub = fault.stub
        is_new = self._is_of_a_load(stub)
        if is_new:
            self._unheard.add(stub)
        model = self._model_of(stub) if stub.instance else self._model_short_of_stubs()
        if model is None and not stub.instance and self._loads:
            self._unplaced.append(fault)
        if model is None or model in self._left_out:
            return
        # A stopped one, too: its server would wait for it for ever. What is new may still be answered for.
        (kill_stub if is_new else end_stub)(stub)
        self._reporter.stub_fault(model, stub.instance or "unknown", fault.fault)
        if model in self._loads:
            self._died.setdefault(model, set()).add(stub)
        elif model not in self._overdue:
            self._replace_after_death(model)

    def _is_of_a_load(self, stub: Stub) -> bool:
        """Whether a load under way may have made this stub."""
        if not stub.instance:
            return bool(self._loads)
        return stub.model in self._loads and stub not in self._present[stub.model]

    def _answer_for_unheard(self) -> None:
        if not self._loads:
            self._unheard.clear()
        elif self._stubs.command and self._unheard.take_due():
            self._pool.submit(answer_for_unheard, self.running.process.pid, self._stubs.command)

    def _placeable(self) -> list[StubFault]:
        """What died, nobody knows whose, during a load: when the loads have ended, one model is short of it."""
        if self._loads:
            return []
        waiting, self._unplaced = self._unplaced, []
        return [fault for fault in waiting if is_running(self.running.process.pid, fault.stub)]

    def _replace_after_death(self, model: str) -> None:
        self._loop_of(model).record(time.monotonic() - self._loaded_at.get(model, 0.0))
        self._replace(model, "its process ended soon after it was loaded")

    def _replace(self, model: str, why: str) -> None:
        """Loads a model anew, or leaves it out where that was in vain too often."""
        loop = self._loop_of(model)
        replaced = self._replaced.pop(model, set()) | self._stubs_of(model)
        if loop.limit_reached:
            self._left_out[model] = f"{why}, {CRASH_LIMIT} times in a row"
            self._reporter.left_out(model, self._left_out[model])
            self.unload(model)
            self._retire(replaced)
            return
        self._replaced[model] = replaced
        self.load(model, anew=True, delay_s=loop.delay_s)

    def _retire(self, stubs: Collection[Stub]) -> None:
        """Lets the healthy instances of a model that was replaced finish their work, and then ends them.

        Triton 2.51 never unloads a model one of whose stubs died with a request: its other stubs would stay for ever.
        """
        self._stubs.ignore(stubs)
        self._retired |= dict.fromkeys(stubs, time.monotonic() + self._retire_after_s)

    def _end_retired(self) -> None:
        due = [stub for stub, ends_at in self._retired.items() if time.monotonic() >= ends_at]
        for stub in due:
            del self._retired[stub]
            if is_running(self.running.process.pid, stub):
                end_stub(stub)

    def _loop_of(self, model: str) -> CrashLoop:
        return self._loops.setdefault(model, CrashLoop())

    def _stubs_of(self, model: str) -> set[Stub]:
        return {stub for stub in self._stubs.known() if self._model_of(stub) == model}

    def _model_of(self, stub: Stub) -> str | None:
        """The model that is ready and whose stub this is."""
        return stub.model if stub.model in self._ready else None

    def _model_short_of_stubs(self) -> str | None:
        """A model with fewer stubs than instances: a dead process no longer says whose it was."""
        missing = self._wanted_stubs()
        missing.subtract(stub.model for stub in self._stubs.known())
        return next((model for model, count in missing.items() if count > 0 and model not in self._loads), None)

    def _wanted_stubs(self) -> Counter[str]:
        """How many stub processes each model should have; none where its backend is not in Python."""
        wanted: Counter[str] = Counter()
        for model, versions in self._ready.items():
            try:
                config = self.running.api.config(model)
            except (TritonRefused, TritonUnreachable):
                continue
            is_python = config.get("backend") == "python" or str(config.get("runtime", "")).endswith(".py")
            if is_python:
                wanted[model] = len(versions) * sum(int(group["count"]) for group in config.get("instance_group", []))
        return wanted
