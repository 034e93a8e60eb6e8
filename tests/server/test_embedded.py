from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from tests.server.serving import ROOT, ask, stubs_of, write_model
from tests.waiting import has_ended, wait_until

from maas_core.errors import PortTaken
from maas_server import guard
from maas_server.embedded import embedded_triton
from maas_server.errors import NothingToServe, StartFailed, TritonNotFound
from maas_server.guard import SHARED_MEMORY
from maas_server.triton_http import TritonHttp, TritonRefused


def test_serves_what_loads_and_tells_why_the_rest_does_not(tmp_path: Path) -> None:
    repository = tmp_path / "a repository with blanks"
    write_model(repository, "double")
    write_model(repository, "broken", more="\nimport no_such_package\n")
    log = tmp_path / "logs" / "triton.log"
    with embedded_triton(repository, log_path=log) as server:
        assert ask(server.http_url, "double", (0.0, 3.0)) == [0.0, 6.0]
        assert server.models == {"double": [1]}
        assert list(server.failed) == ["broken"]
        assert server.failed["broken"].startswith("ModuleNotFoundError: No module named 'no_such_package'")
        assert str(repository / "broken" / "1" / "model.py") in server.failed["broken"]
        stub = stubs_of(server.pid, "double_0_0")[0]
        runtime_dir = Path(psutil.Process(server.pid).cmdline()[1].partition("=")[2]).parent
        assert runtime_dir.stat().st_mode & 0o777 == 0o700
    assert has_ended(server.pid)
    assert has_ended(stub.pid)
    assert not runtime_dir.exists()
    assert "successfully loaded 'double'" in log.read_text()


def test_only_the_named_models_are_loaded(tmp_path: Path) -> None:
    write_model(tmp_path, "one")
    write_model(tmp_path, "two")
    with embedded_triton(tmp_path, models=["two"], stop_timeout_s=0, log_path=tmp_path / "log") as server:
        assert server.models == {"two": [1]}


def test_listens_on_loopback_only(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    with embedded_triton(tmp_path, stop_timeout_s=0, log_path=tmp_path / "log") as server:
        listening = {c.laddr.ip for c in psutil.Process(server.pid).net_connections("inet") if c.status == "LISTEN"}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


_HOLD = """
import sys, time
from pathlib import Path
from maas_server.embedded import embedded_triton
with embedded_triton(Path(sys.argv[1]), log_path=Path(sys.argv[2])) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""


def test_dies_with_a_killed_parent_and_leaves_nothing(tmp_path: Path) -> None:
    write_model(tmp_path / "repository", "double", instances=2)
    parent = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "repository"), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    server_pid = int(parent.stdout.readline())
    stubs = psutil.Process(server_pid).children()
    assert len(stubs) == 2
    # A stopped stub would never notice by itself that its server is gone.
    stubs[0].suspend()
    parent.kill()
    parent.wait()
    for pid in (server_pid, *(stub.pid for stub in stubs)):
        wait_until(lambda pid=pid: has_ended(pid), f"process {pid} ends")
    wait_until(lambda: not list(SHARED_MEMORY.glob(f"maas_{parent.pid}.*")), "the shared memory is removed")
    temporary = Path(tempfile.gettempdir())
    wait_until(lambda: not list(temporary.glob(f"maas-serve-{parent.pid}.*")), "the runtime folder is removed")


def test_a_blank_in_the_path_of_checkout_and_environment(tmp_path: Path) -> None:
    """A Python environment and a checkout, both in folders with blanks, serve a model of a folder with blanks."""
    home = tmp_path / "my home"
    checkout = home / "triton maas"
    for package in ("core/maas_core", "client/maas_client", "server/maas_server", "server/backends"):
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = home / "virtual env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = next(environment.glob("lib/python3.*/site-packages"))
    own_packages = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "tested.pth").write_text(
        "\n".join([*(str(checkout / folder) for folder in ("core", "client", "server")), *own_packages])
    )
    repository = home / "model repository"
    write_model(repository, "double")
    script = (
        "import sys, maas_server\n"
        "from pathlib import Path\n"
        "from maas_server.embedded import embedded_triton\n"
        "with embedded_triton(Path(sys.argv[1]), log_path=Path(sys.argv[2]), stop_timeout_s=0) as server:\n"
        "    print(maas_server.__file__, server.models)\n"
    )
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-c", script, str(repository), str(tmp_path / "log")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=home,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{checkout / 'server/maas_server/__init__.py'} {{'double': [1]}}"


def test_a_taken_port_names_the_port_and_who_holds_it(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken) as error, embedded_triton(tmp_path, http_port=port, log_path=tmp_path / "log"):
            pass
    assert str(port) in error.value.message
    assert f"process {os.getpid()}" in error.value.message
    assert "--http-port" in error.value.mend


@pytest.mark.parametrize(
    ("repository", "models", "words"),
    [
        ("nowhere", None, "there is no model repository"),
        ("empty", None, "holds no model"),
        ("full", ["triple"], "triple: no such model"),
    ],
)
def test_a_repository_that_cannot_be_served(
    tmp_path: Path, repository: str, models: list[str] | None, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    write_model(tmp_path / "full", "double")
    with pytest.raises(NothingToServe, match=words), embedded_triton(tmp_path / repository, models=models):
        pass


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    with (
        pytest.raises(TritonNotFound, match="not an executable"),
        embedded_triton(tmp_path, tritonserver=tmp_path / "tritonserver"),
    ):
        pass


def fake_server(folder: Path, script: str) -> Path:
    fake = folder / "opt" / "bin" / "tritonserver"
    fake.parent.mkdir(parents=True)
    (folder / "opt" / "backends").mkdir()
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return fake


def test_a_server_that_ends_at_once_tells_its_own_reason(tmp_path: Path) -> None:
    write_model(tmp_path / "repository", "double")
    fake = fake_server(tmp_path, "echo 'error: this licence has run out'\nexit 7")
    with (
        pytest.raises(StartFailed, match=r"exit code 7.*this licence has run out"),
        embedded_triton(tmp_path / "repository", tritonserver=fake, log_path=tmp_path / "log"),
    ):
        pass


def test_a_model_that_ends_the_server_is_named(tmp_path: Path) -> None:
    write_model(tmp_path / "repository", "killer", more=f"\nimport os\nos.kill(os.getppid(), {int(signal.SIGKILL)})\n")
    with (
        pytest.raises(StartFailed, match=r"killed by SIGKILL.*while loading killer"),
        embedded_triton(tmp_path / "repository", log_path=tmp_path / "log"),
    ):
        pass


def test_an_exception_that_ends_the_server_is_told(tmp_path: Path) -> None:
    write_model(tmp_path / "repository", "double")
    throw = "import ctypes; ctypes.CDLL('libstdc++.so.6')._ZSt20__throw_out_of_rangePKc(b'no such thing')"
    fake = fake_server(tmp_path, shlex.join(["exec", sys.executable, "-c", throw]))
    with (
        pytest.raises(StartFailed, match=r"killed by SIGABRT, std::out_of_range: no such thing"),
        embedded_triton(tmp_path / "repository", tritonserver=fake, log_path=tmp_path / "log"),
    ):
        pass


_FAILS_ONCE = """
    def initialize(self, args):
        import pathlib
        mark = pathlib.Path({mark!r})
        if not mark.exists():
            mark.touch()
            raise RuntimeError("not yet")
"""


def test_a_model_that_loads_at_the_second_try_is_served(tmp_path: Path) -> None:
    write_model(tmp_path / "repository", "late", more=_FAILS_ONCE.format(mark=str(tmp_path / "mark")))
    with embedded_triton(tmp_path / "repository", log_path=tmp_path / "log") as server:
        assert server.models == {"late": [1]}
        assert server.failed == {}


def test_the_inner_apis_are_closed_to_others(tmp_path: Path) -> None:
    write_model(tmp_path / "repository", "double")
    with embedded_triton(tmp_path / "repository", stop_timeout_s=0, log_path=tmp_path / "log") as server:
        assert server.api.index()
        with pytest.raises(TritonRefused, match="restricted"):
            TritonHttp(server.http_url).unload("double")


def test_a_guard_that_ends_at_once_tells_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "guard.py"
    broken.write_text("raise SystemExit('no more processes')\n")
    monkeypatch.setattr(guard, "__file__", str(broken))
    write_model(tmp_path / "repository", "double")
    with (
        pytest.raises(StartFailed, match=r"exit code 1.*no more processes"),
        embedded_triton(tmp_path / "repository", log_path=tmp_path / "log"),
    ):
        pass
