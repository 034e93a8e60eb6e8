"""A process that dies before Triton has heard of it: Triton 2.51 alone would wait for it for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.server.serving import Serving, ask, ask_until_answered, stubs_of, write_model
from tests.waiting import wait_until

from maas_server.guard import SHARED_MEMORY

Serve = Callable[..., Serving]
_ACTIVATE = """
case "$BASH_EXECUTION_STRING" in
    *" {name} "*) if rm {marker} 2> /dev/null; then kill -KILL $$; fi ;;
esac
"""
"""Triton's own shell runs this right before it becomes the stub."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository of two models; the process of one of them dies early when :func:`_doom` said so."""
    activate = tmp_path / "environment" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    config = write_model(tmp_path / "models", "double").parent / "config.pbtxt"
    environment = f'{{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{activate.parents[1]}" }} }}'
    config.write_text(f"{config.read_text()}\nparameters {environment}\n")
    write_model(tmp_path / "models", "triple", factor=3)
    return tmp_path / "models"


def _doom(models: Path, name: str) -> Path:
    """Lets the next stub of that name die; returns a file that is gone when it has."""
    marker = models.parent / "marker"
    marker.touch()
    (models.parent / "environment" / "bin" / "activate").write_text(_ACTIVATE.format(name=name, marker=marker))
    return marker


@pytest.mark.parametrize("name", ["double_0_0", "double"], ids=["instance", "auto-complete"])
def test_a_stub_that_dies_before_it_was_heard_of_is_replaced(serve: Serve, models: Path, name: str) -> None:
    serving = serve(models)
    served_by = serving.state["triton_pid"]
    marker = _doom(models, name)
    stubs_of(served_by, "double_0_0")[0].kill()
    told = serving.event("load_failed")["message"]
    assert "is not healthy: it ended before its server had heard of it; its process ended while it started" in told
    assert not marker.exists()
    assert serving.event("reloaded")["model"] == "double"
    assert ask_until_answered(serving.http, "double") == [0.0, 2.0]
    assert ask(serving.http, "triple") == [0.0, 3.0]
    assert serving.state["triton_pid"] == served_by
    regions = f"maas_{serving.process.pid}.*"
    wait_until(lambda: len(list(SHARED_MEMORY.glob(regions))) == 2, "the shared memory of two instances is left")
    assert serving.state["failed"] == {}


def test_a_stub_that_dies_at_the_start_before_it_was_heard_of_delays_it_only(serve: Serve, models: Path) -> None:
    marker = _doom(models, "double_0_0")
    serving = serve(models)
    assert not marker.exists()
    assert serving.ready["models"] == {"double": [1], "triple": [1]}
    assert ask(serving.http, "double") == [0.0, 2.0]
