"""The parts of the supervisor that need no server."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maas_client.ownership import owner_is_gone, owner_tag
from maas_core.crash_loop import CRASH_LIMIT, STABLE_S, CrashLoop
from maas_core.errors import PortTaken
from maas_core.events import EventLog
from maas_core.ports import PortHold
from maas_server import guard, leftovers
from maas_server.drain import drain
from maas_server.ensembles import with_steps
from maas_server.errors import AlreadyServed
from maas_server.figures import figures_of
from maas_server.loading import touch_versions
from maas_server.metrics import MetricsServer, SupervisorMetrics
from maas_server.process import describe_exit
from maas_server.repository_watch import RepositoryWatch
from maas_server.state_file import (
    ServeState,
    StateFile,
    make_token,
    only_server_of,
    read_states,
    read_token,
    state_dir,
    token_path,
)
from maas_server.triton_http import ModelState, TritonUnreachable


def test_crashes_in_a_row_back_off_up_to_half_a_minute() -> None:
    loop = CrashLoop()
    delays = []
    for _ in range(8):
        loop.record(lived_s=0.0)
        delays.append(loop.delay_s)
    assert delays == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_long_life_between_crashes_is_no_loop() -> None:
    loop = CrashLoop()
    for _ in range(2 * CRASH_LIMIT):
        loop.record(lived_s=STABLE_S)
        assert loop.delay_s == 0.0
        assert not loop.limit_reached


def test_the_third_crash_in_a_row_reaches_the_limit() -> None:
    loop = CrashLoop()
    reached = []
    for _ in range(3):
        loop.record(lived_s=1.0)
        reached.append(loop.limit_reached)
    assert reached == [False, False, True]


def _statistics(requests: int, executions: int, samples: int, queue_ns: int, total_ns: int) -> dict[str, Any]:
    return {
        "name": "model",
        "version": "3",
        "inference_count": samples,
        "execution_count": executions,
        "inference_stats": {
            "success": {"count": requests, "ns": total_ns},
            "fail": {"count": 2},
            "queue": {"count": requests, "ns": queue_ns},
        },
    }


@pytest.mark.parametrize(
    ("statistics", "dynamic", "max_batch", "words"),
    [
        (_statistics(1130, 100, 1130, 0, 10**9), True, 32, "batching works: 11.3 per execution"),
        (_statistics(100, 100, 100, 10**6, 10**9), True, 32, "no batching: one synchronous caller"),
        (
            _statistics(100, 100, 3200, 10**6, 10**9),
            True,
            32,
            "no batching: one synchronous caller; clients send 32.0 at a time",
        ),
        (_statistics(100, 100, 100, 0, 10**9), False, 32, "no batching: the configuration has no dynamic_batching"),
        (_statistics(100, 100, 100, 0, 10**9), False, 0, "no batching: the model takes one sample at a time"),
        (
            _statistics(100, 100, 100, 6 * 10**8, 10**9),
            True,
            32,
            "no batching, though requests wait: give it more instances or a queue delay",
        ),
        (_statistics(3, 3, 3, 0, 10**9), True, 32, "too few requests to tell"),
    ],
)
def test_how_batches_form_in_words(statistics: dict[str, Any], dynamic: bool, max_batch: int, words: str) -> None:
    figures = figures_of(statistics, dynamic_batching=dynamic, max_batch_size=max_batch, is_ensemble=False)
    assert figures.batching == words


def test_figures_of_a_version() -> None:
    figures = figures_of(
        _statistics(100, 50, 200, 25 * 10**7, 10**9), dynamic_batching=True, max_batch_size=32, is_ensemble=False
    )
    assert (figures.requests, figures.failures) == (100, 2)
    assert figures.samples_per_execution == 4.0
    assert figures.mean_ms == 10.0
    assert figures.queue_share == 0.25


def test_what_the_response_cache_answers_is_no_batching() -> None:
    statistics = _statistics(1000, 100, 100, 0, 10**9)
    statistics["inference_stats"]["cache_hit"] = {"count": 900, "ns": 10**6}
    figures = figures_of(statistics, dynamic_batching=True, max_batch_size=32, is_ensemble=False)
    assert figures.requests == 1000
    assert figures.requests_per_execution == 1.0
    assert figures.batching == "no batching: one synchronous caller"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (137, "killed by SIGKILL"),
        (-9, "killed by SIGKILL"),
        (255, "exit code 255"),
        (128, "exit code 128"),
        (1, "exit code 1"),
    ],
)
def test_how_a_server_ended_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_a_metrics_port_that_was_taken_meanwhile_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"metrics port {port}") as error:
            MetricsServer(SupervisorMetrics(), "127.0.0.1", port)
    assert "--metrics-port" in error.value.mend


class _HungApi:
    """A server that takes every call and answers none in time."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def index(self, timeout_s: float = 0.0) -> list[ModelState]:
        return [ModelState(model, 1, "READY", "") for model in ("a", "b", "c")]

    def unload(self, model: str, timeout_s: float) -> None:
        assert timeout_s < 10.0
        self.calls.append(model)
        raise TritonUnreachable("timed out")


class _Process:
    def exit_code(self) -> None:
        return None

    def wait(self, timeout_s: float) -> None:
        return None

    def terminate(self) -> None:
        """It hangs."""

    def kill(self) -> None:
        """Nothing to end."""


def test_draining_looks_at_hurry_between_models(tmp_path: Path) -> None:
    api = _HungApi()
    running: Any = SimpleNamespace(api=api, process=_Process())
    assert not drain(running, tmp_path, timeout_s=600.0, hurry=lambda: bool(api.calls))
    assert api.calls == ["a"]


def test_loading_anew_a_version_whose_folder_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "model" / "2").mkdir(parents=True)
    os.utime(tmp_path / "model" / "2", (1, 1))
    touch_versions(tmp_path, {"model": [1, 2]})
    assert (tmp_path / "model" / "2").stat().st_mtime > 1


def test_an_event_reader_that_stops_reading_does_not_stop_the_teller() -> None:
    class Stuck(io.StringIO):
        def write(self, _text: str) -> int:
            threading.Event().wait()
            return 0

    log = EventLog(Stuck(), as_json=True)
    told = 0
    for number in range(5000):
        log.tell("event", "words", number=number)
        told += 1
    log.close(timeout_s=0.1)
    assert told == 5000, "a full pipe held the teller up"


def test_events_are_json_or_words() -> None:
    as_json, as_words = io.StringIO(), io.StringIO()
    for stream, is_json in ((as_json, True), (as_words, False)):
        log = EventLog(stream, as_json=is_json)
        log.tell("reloaded", "digits: loaded anew", model="digits")
        log.close()
    event = json.loads(as_json.getvalue())
    assert (event["event"], event["model"]) == ("reloaded", "digits")
    assert as_words.getvalue().endswith(" digits: loaded anew\n")


def test_the_token_is_new_each_time_and_only_for_its_owner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    first = make_token("stable")
    second = make_token("stable")
    assert first != second == read_token("stable")
    assert len(second) >= 40
    assert stat.S_IMODE(token_path("stable").stat().st_mode) == 0o600
    assert read_token("candidate") is None


def test_a_state_of_another_release_is_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    state = ServeState("stable", "/models", owner_tag(), os.getpid(), "2026-01-01T00:00:00+00:00")
    StateFile("stable").write(state)
    (state_dir() / "old.json").write_text('{"view": "old", "port": 8000}')
    assert read_states() == [state]


def test_a_view_is_served_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    with only_server_of("stable"):
        with pytest.raises(AlreadyServed, match="stable"), only_server_of("stable"):
            pass
        with only_server_of("candidate"):
            pass
    with only_server_of("stable"):
        pass


def _tag_of_a_dead_process() -> str:
    """This process's tag with another start time: as if the process id had been given anew."""
    pid, start_ticks, namespace = owner_tag().split(".")
    return f"{pid}.{int(start_ticks) - 1}.{namespace}"


def test_only_what_dead_processes_of_ours_left_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shm, temporary = tmp_path / "shm", tmp_path / "tmp"
    for folder in (shm, temporary):
        folder.mkdir()
    pid, start_ticks, namespace = owner_tag().split(".")
    dead = _tag_of_a_dead_process()
    stale = [shm / f"maas_{dead}.1_region", temporary / f"maas-serve-{dead}-abc"]
    kept = [
        shm / f"maas_{owner_tag()}.1_region",
        shm / f"maas_{pid}.{int(start_ticks) - 1}.{int(namespace) + 1}.1_of_another_container",
        shm / "triton_python_backend_shm_region_of_somebody",
        shm / "maas_without_a_tag",
    ]
    for path in (stale[0], *kept):
        path.write_bytes(b"x")
    stale[1].mkdir()
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", shm)
    monkeypatch.setattr(leftovers, "_PYTHON_ENVIRONMENTS", temporary)
    monkeypatch.setattr(leftovers.tempfile, "gettempdir", lambda: str(temporary))
    assert sorted(leftovers.remove_leftovers()) == sorted(stale)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in stale)


def test_empty_environments_of_dead_servers_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty, full = tmp_path / "python_env_aaaaaa", tmp_path / "python_env_bbbbbb"
    empty.mkdir()
    full.mkdir()
    (full / "bin").mkdir()
    monkeypatch.setattr(leftovers, "_PYTHON_ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(leftovers, "_start_times_of_servers", lambda: iter([0.0]))
    leftovers.remove_leftovers()
    assert empty.exists(), "a server that runs was started before it was made"
    monkeypatch.setattr(leftovers, "_start_times_of_servers", lambda: iter([]))
    leftovers.remove_leftovers()
    assert not empty.exists()
    assert full.exists()


def test_owner_tags() -> None:
    assert not owner_is_gone(f"maas_{owner_tag()}.1_x")
    assert owner_is_gone(f"maas_{_tag_of_a_dead_process()}.1_x")
    assert not owner_is_gone("maas_x")


def test_an_empty_prefix_never_clears_all_shared_memory() -> None:
    with pytest.raises(ValueError, match="every program"):
        guard.remove_shared_memory("")


def test_held_ports_are_nobody_elses_and_a_server_can_listen_on_them() -> None:
    hold = PortHold({"http": 0, "grpc": 0, "metrics": 0})
    assert len({*hold.ports.values(), 0}) == 4
    port = hold.ports["http"]
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port))
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        with pytest.raises(PortTaken, match=f"http port {port}"):
            PortHold({"http": port})
    hold.release()
    PortHold({"http": port}).release()


def test_a_change_counts_when_it_has_settled(tmp_path: Path) -> None:
    version = tmp_path / "model" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"a")
    watch = RepositoryWatch(tmp_path)
    assert not watch.has_settled_change()
    (version / "model.onnx").write_bytes(b"ab")
    assert not watch.has_settled_change(), "it may be half written"
    assert watch.has_settled_change()
    assert not watch.has_settled_change(), "it was told already"
    (tmp_path / ".maas").mkdir()
    (tmp_path / ".maas" / "staged").write_bytes(b"x")
    assert not any(watch.has_settled_change() for _ in range(3)), "staging is no change"


def test_what_is_removed_while_it_is_looked_at_is_passed_over(tmp_path: Path) -> None:
    watch, stop = RepositoryWatch(tmp_path), threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            folder = tmp_path / "model" / "1" / "folder" / "below"
            folder.mkdir(parents=True)
            (folder / "file").touch()
            shutil.rmtree(tmp_path / "model")

    with ThreadPoolExecutor() as pool:
        coming = pool.submit(come_and_go)
        try:
            for _ in range(500):
                watch.has_settled_change()
        finally:
            stop.set()
        coming.result()


def test_an_ensemble_brings_its_steps(tmp_path: Path) -> None:
    for name, steps in {"pipe": ["inner", "last"], "inner": ["first"], "first": [], "last": [], "other": []}.items():
        (tmp_path / name).mkdir()
        lines = "".join(f'step [{{ model_name: "{step}" }}]\n' for step in steps)
        text = f'platform: "ensemble"\nensemble_scheduling {{ {lines} }}\n' if steps else 'backend: "python"\n'
        (tmp_path / name / "config.pbtxt").write_text(text)
    assert with_steps(tmp_path, ["pipe"]) == ["pipe", "inner", "first", "last"]
    assert with_steps(tmp_path, ["other"]) == ["other"]


def test_the_environment_of_the_server_has_no_foreign_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from maas_server.binary import find_binary
    from maas_server.process import environment_for
    from maas_server.runtime_dir import make_runtime_dir

    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    made = make_runtime_dir(find_binary(), tmp_path, [])
    try:
        environment = environment_for(made)
        assert "/elsewhere" not in environment.values()
        assert Path(environment["PATH"].split(os.pathsep)[0], "python3").exists()
        # The line that starts a stub with an environment of its own has this without quotes.
        ours = environment["LD_LIBRARY_PATH"].split(os.pathsep)[: len(made.libraries)]
        assert all(Path(path).parent.parent == made.path and Path(path).is_dir() for path in ours)
    finally:
        made.remove()
