"""The example programs of the catalogue: current and clean. ``tests/export/test_catalogue.py`` runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from maas_export.catalogue import TorchModel, all_models
from maas_export.examples.programs import FILE_OF_LANGUAGE
from maas_export.examples_cli import examples
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"
WITH_EXAMPLE = [name for name, model in all_models().items() if model.example]


def test_the_committed_programs_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(examples, ["--check"])
    assert done.exit_code == 0, done.output


def test_no_program_is_left_of_a_model_that_is_gone() -> None:
    programs = set(FILE_OF_LANGUAGE.values())
    committed = {path.parent.name for path in EXAMPLES.glob("*/call.*") if path.name in programs}
    assert committed == set(WITH_EXAMPLE)


def test_every_model_that_people_call_has_an_example() -> None:
    called = {name for name, model in all_models().items() if model.card and not isinstance(model, TorchModel)}
    assert called <= set(WITH_EXAMPLE)


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_what_an_example_sends_is_there(name: str) -> None:
    model = all_models()[name]
    assert set(model.example) <= {tensor.name for tensor in model.spec.inputs}
    for value in model.example.values():
        assert not isinstance(value, Path) or (ROOT / value).is_file(), value


def test_the_python_programs_are_typed() -> None:
    programs = [str(path) for path in EXAMPLES.glob("*/call.py")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *programs], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_program_of_one_language_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(examples, ["digits", "--language", "javascript"])
    assert done.output.rstrip() == (EXAMPLES / "digits" / "call.mjs").read_text(encoding="utf-8").rstrip()


def test_what_is_written_is_current_and_drift_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert CliRunner().invoke(examples, ["--write", "--folder", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(examples, ["--check", "--folder", str(tmp_path)]).exit_code == 0
    (tmp_path / "digits" / "call.go").unlink()
    (tmp_path / "digits" / "call.sh").write_text("# mine\n")
    done = CliRunner().invoke(examples, ["--check", "--folder", str(tmp_path)])
    assert done.exit_code == 1
    assert "call.go" in done.output
    assert "call.sh" in done.output
    assert "run `maas examples --write`" in done.output


def test_a_model_that_is_not_there_is_told() -> None:
    done = CliRunner().invoke(examples, ["digit"])
    assert done.exit_code == 2
    assert "there is no model 'digit'" in done.output
