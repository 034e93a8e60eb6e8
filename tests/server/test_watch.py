"""`maas serve --watch`: what a repository brings that cannot be served leaves what is served serving."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.server.serving import Serving, ask, ask_until_answered, stubs_of, write_model
from tests.waiting import wait_until

Serve = Callable[..., Serving]
_BROKEN = "\nimport no_such_package\n"
_SLOW = "\n    def initialize(self, args):\n        time.sleep(3.0)\n"


def _publish(models: Path, name: str, version: int, *, factor: int, more: str = "") -> None:
    staged = write_model(models.parent / "staged", name, factor=factor, version=version, more=more)
    staged.rename(models / name / str(version))
    shutil.rmtree(models.parent / "staged")


def test_a_version_that_does_not_load_leaves_the_one_before_serving(serve: Serve, tmp_path: Path) -> None:
    """Also when its process dies, and when the whole server does; and `maas status` goes on telling it."""
    models = tmp_path / "models"
    write_model(models, "double")
    serving = serve(models, "--watch")
    _publish(models, "double", 2, factor=20, more=_BROKEN)
    assert "no_such_package" in serving.event("load_failed")["reason"]
    assert serving.event("not_taken_over")["version"] == 1
    assert ask(serving.http, "double") == [0.0, 2.0]
    stubs_of(serving.state["triton_pid"], "double_0_0")[0].kill()
    assert serving.event("reloaded")["model"] == "double"
    assert ask(serving.http, "double") == [0.0, 2.0]
    os.kill(serving.state["triton_pid"], signal.SIGKILL)
    assert serving.event("triton_back")["models"] == {"double": [1]}
    assert ask(serving.http, "double") == [0.0, 2.0]
    assert "version 2 is not taken over, version 1 serves on" in serving.state["failed"]["double"]
    assert "no_such_package" in serving.state["failed"]["double"]
    _publish(models, "double", 3, factor=30)
    wait_until(lambda: ask_until_answered(serving.http, "double") == [0.0, 30.0], "version 3 serves")
    wait_until(lambda: serving.state["failed"] == {}, "nothing fails any more")


def test_a_typo_in_a_served_config_takes_nothing_down(serve: Serve, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models, "double")
    serving = serve(models, "--watch")
    config = models / "double" / "config.pbtxt"
    good = config.read_text()
    config.write_text("max_batch_sise: 1\n")
    assert "max_batch_sise" in serving.event("load_failed")["reason"]
    assert ask(serving.http, "double") == [0.0, 2.0]
    wait_until(lambda: "version 1 serves on" in serving.state["failed"].get("double", ""), "status tells it")
    os.kill(serving.state["triton_pid"], signal.SIGKILL)
    serving.event("triton_back")
    assert ask(serving.http, "double") == [0.0, 2.0]
    config.write_text(good)
    wait_until(lambda: serving.state["failed"] == {}, "it is mended")


def test_a_config_that_does_not_load_is_put_back(serve: Serve, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models, "double")
    serving = serve(models, "--watch")
    config = models / "double" / "config.pbtxt"
    config.write_text(config.read_text().replace('"python"', '"no_such_backend"'))
    assert "new configuration is not taken over" in serving.event("not_taken_over")["message"]
    os.kill(serving.state["triton_pid"], signal.SIGKILL)
    serving.event("triton_back")
    assert ask(serving.http, "double") == [0.0, 2.0]


def test_a_version_that_comes_while_a_stub_is_replaced_is_loaded(serve: Serve, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models, "double", more=_SLOW)
    serving = serve(models, "--watch")
    stubs_of(serving.state["triton_pid"], "double_0_0")[0].kill()
    serving.event("stub_fault")
    _publish(models, "double", 2, factor=20)
    assert serving.event("changed")["version"] == 2
    wait_until(lambda: ask_until_answered(serving.http, "double") == [0.0, 20.0], "version 2 serves")


def test_an_instance_that_dies_while_its_model_is_loaded_anew_is_replaced(serve: Serve, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models, "double", instances=2, more=_SLOW)
    serving = serve(models)
    before = {stub.pid for number in (0, 1) for stub in _stubs(serving, number)}
    _stubs(serving, 0)[0].kill()
    serving.event("stub_fault")

    def new_stubs() -> list[int]:
        return [stub.pid for number in (0, 1) for stub in _stubs(serving, number) if stub.pid not in before]

    wait_until(lambda: bool(new_stubs()), "a new instance is being made")
    victim = new_stubs()[0]
    wait_until(lambda: len(new_stubs()) == 2, "both are")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len([pid for pid in new_stubs() if pid != victim]) >= 2, "two new ones live")
    wait_until(lambda: serving.state["reloads"].get("double", 0) >= 1, "it is loaded anew")
    for _ in range(10):
        assert ask_until_answered(serving.http, "double") == [0.0, 2.0]


def _stubs(serving: Serving, number: int) -> list[psutil.Process]:
    return stubs_of(serving.state["triton_pid"], f"double_0_{number}")


def test_a_left_out_model_that_is_removed_fails_no_more(serve: Serve, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models, "double")
    dies = "\n    def initialize(self, args):\n        import os, threading\n"
    write_model(models, "mortal", more=f"{dies}        threading.Timer(1.0, os._exit, [1]).start()\n")
    serving = serve(models, "--watch")
    assert serving.event("left_out")["model"] == "mortal"
    wait_until(lambda: "mortal" in serving.state["failed"], "it is told as failed")
    shutil.rmtree(models / "mortal")
    assert serving.event("removed")["model"] == "mortal"
    wait_until(lambda: serving.state["failed"] == {}, "it is told no more")


def test_instance_groups_with_the_same_name_are_told_apart(serve: Serve, tmp_path: Path) -> None:
    for name, factor in (("double", 2), ("triple", 3)):
        write_model(tmp_path / "models", name, factor=factor)
        config = tmp_path / "models" / name / "config.pbtxt"
        config.write_text(config.read_text().replace("[{ count: 1 }]", '[{ name: "cpu" count: 1 }]'))
    serving = serve(tmp_path / "models")
    for name, answer in (("double", 2.0), ("triple", 3.0)):
        stubs = stubs_of(serving.state["triton_pid"], "cpu_0")
        next(stub for stub in stubs if f"/{name}/" in stub.cmdline()[1]).kill()
        assert serving.event("stub_fault")["model"] == name
        assert serving.event("reloaded")["model"] == name
        assert ask(serving.http, name) == [0.0, answer]
