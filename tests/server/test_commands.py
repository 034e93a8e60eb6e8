"""`maas status`, `maas explain` and `maas doctor` as a user runs them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.server.serving import Serving, ask, write_model
from tests.waiting import wait_until

from maas_server import doctor, environment
from maas_server.doctor import Finding, examine
from maas_server.triton_http import TritonHttp

Maas = Callable[..., subprocess.CompletedProcess[str]]


def _inferences(serving: Serving, model: str) -> int:
    figures = TritonHttp(serving.http.removeprefix("http://")).statistics()
    return next(int(entry["inference_count"]) for entry in figures if entry["name"] == model)


def test_status_tells_what_is_served_and_what_fails(serve: Callable[..., Serving], maas: Maas, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double")
    write_model(tmp_path / "models", "broken", more="\nimport no_such_package\n")
    serving = serve(tmp_path / "models")
    for _ in range(30):
        ask(serving.http, "double")
    wait_until(lambda: _inferences(serving, "double") == 30, "Triton counts after it has answered")
    words = maas("status", build=serving.build)
    assert words.returncode == 1, "a model that should serve does not"
    assert "double 1 since 20" in words.stdout
    assert "30 requests, 0 failed" in words.stdout
    assert "no batching: one synchronous caller" in words.stdout
    assert "broken: FAILS: ModuleNotFoundError: No module named 'no_such_package'" in words.stdout
    assert "pip install the package that holds no_such_package" in words.stdout
    (report,) = json.loads(maas("status", "--json", build=serving.build).stdout)
    assert report["models"] == {"double": [1]}
    assert report["figures"][0]["requests"] == 30
    assert report["restarts"] == 0
    by_url = maas("status", "--url", serving.http)
    assert by_url.returncode == 0
    assert "double 1: 30 requests" in by_url.stdout


def test_status_of_a_server_that_hangs_tells_what_is_known(
    serve: Callable[..., Serving], maas: Maas, tmp_path: Path
) -> None:
    write_model(tmp_path / "models", "double")
    serving = serve(tmp_path / "models")
    # The supervisor too, which would replace a stopped server.
    supervisor, server = serving.process, psutil.Process(serving.ready["triton_pid"])
    psutil.Process(supervisor.pid).suspend()
    server.suspend()
    try:
        words = maas("status", build=serving.build)
        (report,) = json.loads(maas("status", "--json", build=serving.build).stdout)
    finally:
        server.resume()
        psutil.Process(supervisor.pid).resume()
    assert words.returncode == 1
    assert str(tmp_path / "models") in words.stdout
    assert "tritonserver does not answer" in words.stdout
    assert report["answers"] is False
    assert report["models"] == {"double": [1]}


def test_status_where_nothing_runs(maas: Maas) -> None:
    done = maas("status")
    assert done.returncode == 3
    assert done.stderr == "maas status: no server of `maas serve` is running here; start one, or give --url\n"


def test_status_of_a_killed_supervisor(serve: Callable[..., Serving], maas: Maas, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double")
    serving = serve(tmp_path / "models")
    serving.process.kill()
    serving.process.wait()
    assert (serving.build / "state" / "serve" / "stable.json").exists()
    assert maas("status", build=serving.build).returncode == 3


def test_status_of_an_address_where_nothing_listens(maas: Maas) -> None:
    done = maas("status", "--url", "http://127.0.0.1:1")
    assert done.returncode == 3
    assert "no server answers at http://127.0.0.1:1" in done.stderr
    assert maas("status", "--url", "grpc://127.0.0.1:1").returncode == 2


def test_explain_a_model_that_loads(maas: Maas, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double", version=3)
    done = maas("explain", "double", "--repository", tmp_path / "models")
    assert done.returncode == 0
    assert done.stdout.startswith("double 3 loads")


def test_explain_names_reason_mend_and_log(maas: Maas, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "broken", more="\nraise OSError('the vocabulary is missing')\n")
    done = maas("explain", "broken", "--repository", tmp_path / "models")
    assert done.returncode == 1
    assert "because  OSError: the vocabulary is missing (" in done.stdout
    assert str(tmp_path / "models" / "broken" / "1" / "model.py") in done.stdout
    assert "mend     mend the Python model" in done.stdout
    log = Path(done.stdout.partition("log      ")[2].strip())
    assert "the vocabulary is missing" in log.read_text()


def test_explain_finds_the_step_that_breaks_an_ensemble(maas: Maas, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "inner", more="\nimport no_such_package\n")
    (tmp_path / "models" / "outer" / "1").mkdir(parents=True)
    (tmp_path / "models" / "outer" / "config.pbtxt").write_text(
        'platform: "ensemble"\nmax_batch_size: 8\n'
        'input [{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }]\n'
        'output [{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }]\n'
        'ensemble_scheduling { step [{ model_name: "inner" model_version: -1 '
        'input_map { key: "x" value: "x" } output_map { key: "y" value: "y" } }] }\n'
    )
    done = maas("explain", "outer", "--repository", tmp_path / "models", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["cause"] == "inner"
    assert "no_such_package" in found["reason"]


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ("none_such", 2, "there is no model none_such"),
        ("unpublished", 1, "no version is published"),
        ("mis spelt", 2, ""),
    ],
)
def test_explain_what_cannot_be_tried(maas: Maas, tmp_path: Path, model: str, code: int, words: str) -> None:
    write_model(tmp_path / "models", "double")
    (tmp_path / "models" / "unpublished").mkdir()
    (tmp_path / "models" / "unpublished" / "config.pbtxt").write_text('backend: "python"\n')
    done = maas("explain", model, "--repository", tmp_path / "models")
    assert done.returncode == code
    assert words in done.stdout + done.stderr


def _finding(what: str, **options: Path) -> Finding:
    return next(finding for finding in examine(**options) if finding.what == what)


def test_doctor_finds_this_machine_fit(maas: Maas) -> None:
    done = maas("doctor", "--json")
    assert done.returncode == 0, done.stdout
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    for what in ("Python", "glibc", "libpython", "numpy", "tritonserver", "/dev/shm"):  # noqa: S108  # a finding's name
        assert findings[what]["verdict"] == "ok", findings[what]


def test_doctor_says_what_is_missing_and_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "version", lambda _name: "2.1.0")
    numpy = _finding("numpy")
    assert numpy.verdict == "missing"
    assert "2.1.0" in numpy.found
    assert "pip install 'numpy==1.26.4'" in numpy.mend


def test_doctor_exits_1_where_something_is_missing(maas: Maas) -> None:
    done = maas("doctor", "--tritonserver", "/no/such/tritonserver")
    assert done.returncode == 1
    assert "MISSING tritonserver" in done.stdout
    assert "mend: give the path of a tritonserver" in done.stdout


_Usage = namedtuple("_Usage", ["total", "used", "free"])


@pytest.mark.parametrize(("size_mib", "verdict"), [(8, "missing"), (64, "warning"), (1024, "ok")])
def test_doctor_measures_shared_memory(monkeypatch: pytest.MonkeyPatch, size_mib: int, verdict: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: _Usage(size_mib * 2**20, 0, size_mib * 2**20))
    assert _finding("/dev/shm").verdict == verdict  # noqa: S108  # a finding's name


def test_doctor_warns_of_taken_ports_and_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(doctor, "_DEFAULT_PORTS", (port,))
        assert _finding(f"port {port}").verdict == "warning"
    memory = namedtuple("memory", ["available"])
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(2**30))
    assert _finding("memory").verdict == "warning"


def test_doctor_compares_with_the_tested_set(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==1.0.0\nnvidia-pytriton==0.7.0\n# onnx==0.1\n")
    findings = {finding.what: finding for finding in examine(lock=lock)[-2:]}
    assert findings["numpy"].verdict == "warning"
    assert findings["numpy"].found.endswith("1.0.0 is tested")
    assert findings["nvidia-pytriton"].verdict == "ok"
