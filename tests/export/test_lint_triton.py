"""The linter's claims held against the real server: what it calls an error Triton refuses, what it does not it loads.

Most refusals come after a backend has started, which takes a second or two each: those are tried in the long tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_server.embedded import EmbeddedTriton, embedded_triton
from maas_server.errors import StartFailed
from maas_server.pytest_plugin import TritonFactory
from maas_server.triton_http import TritonRefused
from tests.export.lint_corpus import CORPUS, GOOD, HELPERS, write

_LOAD_TIMEOUT_S = 60.0
_BEFORE_A_BACKEND_STARTS = {
    "backend-missing",
    "backend-unknown",
    "batch-size",
    "config-syntax",
    "config-unreadable",
    "field-newer",
    "name-differs",
    "no-version",
    "platform-differs",
    "preferred-batch-size",
    "preserve-ordering",
    "priority-levels",
    "response-cache",
    "sequence-control",
    "sequence-utilization",
    "unpublished",
    *(rule for case in CORPUS.values() for rule in case.rules if rule.startswith("ensemble-")),
}
_REFUSED = [name for name, case in CORPUS.items() if case.refused]
_QUICK = [name for name in _REFUSED if _BEFORE_A_BACKEND_STARTS.intersection(CORPUS[name].rules)]
_TAKEN = [name for name, case in CORPUS.items() if case.refused is False and name not in HELPERS]


@pytest.fixture(scope="module")
def server(module_triton_server: TritonFactory, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedTriton:
    repository = write(tmp_path_factory.mktemp("lint") / "models", CORPUS)
    server = module_triton_server(repository, models=[*GOOD, *HELPERS])
    assert not server.failed
    return server


def _reason(server: EmbeddedTriton, name: str) -> str:
    """Why a model does not load; nothing where it does."""
    try:
        server.api.load(name, _LOAD_TIMEOUT_S)
    except TritonRefused as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", _QUICK)
def test_triton_refuses_what_the_linter_calls_an_error(name: str, server: EmbeddedTriton) -> None:
    assert _reason(server, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in _REFUSED if name not in _QUICK])
def test_a_backend_refuses_what_the_linter_calls_an_error(name: str, server: EmbeddedTriton) -> None:
    assert _reason(server, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", _TAKEN)
def test_triton_takes_what_the_linter_does_not_call_an_error(name: str, server: EmbeddedTriton) -> None:
    assert not _reason(server, name)


def test_a_version_folder_of_twenty_digits_ends_the_server(tmp_path: Path) -> None:
    repository = write(tmp_path / "models", {"relu": GOOD["relu"]})
    (repository / "relu" / "12345678901234567890").mkdir()
    with (
        pytest.raises(StartFailed, match="SIGABRT"),
        embedded_triton(repository, log_path=tmp_path / "log", stop_timeout_s=0.0),
    ):
        pass
    assert "std::out_of_range" in (tmp_path / "log").read_text()
