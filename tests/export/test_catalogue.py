"""Registered means tested: what holds for every model of the catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from maas_client import Client
from maas_core.golden import GOLDEN_FILE, load_golden
from maas_core.serving import Served, serve
from maas_export.cards import card_files
from maas_export.catalogue import CatalogueModel, TorchModel, all_models, in_order, is_stateful, requirements
from maas_export.evaluate_cli import evaluate
from maas_export.served_calls import ask
from maas_export.served_evaluation import Judged
from tests.conftest import ROOT, Journey, Maas, json_lines
from tests.examples.programs import EXECUTED, run_program, shown_outputs

ALL = sorted(all_models())
NETWORKS = [name for name, model in all_models().items() if isinstance(model, TorchModel)]
CALLED = [name for name, model in all_models().items() if model.card is not None and not isinstance(model, TorchModel)]
WITH_EXAMPLE = [name for name, model in all_models().items() if model.example]
JUDGED = [name for name, model in all_models().items() if isinstance(model, Judged)]


@pytest.fixture(scope="module")
def served(catalogue: Journey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_BUILD", str(tmp_path_factory.mktemp("serving")))
        with serve(catalogue.repository, view="catalogue") as server:
            yield server


def test_every_model_loads(served: Served) -> None:
    assert served.failed == {}
    assert sorted(served.models) == ALL


@pytest.mark.parametrize("name", ALL)
def test_the_bundle_is_proven_and_the_graph_of_a_network_is_plain(catalogue: Journey, name: str) -> None:
    manifest = json.loads((catalogue.bundle(name) / "manifest.json").read_bytes())
    rungs = [rung["rung"] for rung in manifest["verification"]["rungs"]]
    assert manifest["verification"]["passed"]
    assert {"files", "http", "grpc"} <= set(rungs)
    assert ("onnx" in rungs) == isinstance(all_models()[name], TorchModel)
    assert manifest["requires"] == list(requirements(all_models()[name]))


@pytest.mark.parametrize("name", ALL)
def test_the_served_model_answers_its_golden_samples(catalogue: Journey, served: Served, name: str) -> None:
    model = all_models()[name]
    sample = load_golden(catalogue.bundle(name) / GOLDEN_FILE)[-1]
    with Client(served.http, timeout_s=60) as client:
        answer = ask(client, model, sample.inputs)
    assert set(answer) == set(sample.outputs)
    for output, wanted in sample.outputs.items():
        assert answer[output].shape == wanted.shape
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(answer[output], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", JUDGED)
def test_evaluation_as_served_gives_a_figure_and_the_worst(
    served: Served, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    # In this process: what evaluation imports takes longer than twelve answers.
    done = CliRunner().invoke(evaluate, [name, "--url", served.grpc, "--limit", "12", "--worst", "3", "--json"])
    assert done.exit_code == 0, done.output
    (seen,) = json_lines(done.stdout)
    assert seen["figures"][seen["measure"]] == seen["value"]
    assert seen["errors"] == 0
    assert len(seen["worst"]) <= 3


@pytest.mark.parametrize("language", EXECUTED)
@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_its_example_program_prints_the_answer(served: Served, name: str, language: str) -> None:
    url = served.grpc if language == "python" else served.http
    default = next(value for value in all_models()[name].example.values() if isinstance(value, str | Path))
    done = run_program(language, ROOT / "examples" / name, str(default), url, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    if all_models()[name].spec.decoupled:
        assert done.stdout
        return
    shown = shown_outputs(language, done.stdout)
    assert shown.keys() == {output.name for output in all_models()[name].spec.outputs} - {"error"}
    if name == "digits":
        assert shown["label"][0] == "3"


def is_called_through_its_service(model: CatalogueModel) -> bool:
    """A network whose caller would have to carry a state along, or a tensor of no elements, which JSON has no form for:
    people call the model in front of it."""
    inputs = model.sample_inputs(np.random.default_rng(0), 1)
    has_nothing_in_a_tensor = any(value.size == 0 for value in inputs.values())
    return isinstance(model, TorchModel) and (is_stateful(model) or has_nothing_in_a_tensor)


@pytest.mark.parametrize("name", [name for name in ALL if all_models()[name].card is not None])
def test_what_people_call_has_a_card_an_example_and_a_measure(name: str) -> None:
    model = all_models()[name]
    assert bool(model.example) != is_called_through_its_service(model), "its examples are made of it"
    for value in model.example.values():
        if isinstance(value, Path):
            assert (ROOT / value).is_file()
    assert model.card is not None
    assert all([model.card.architecture, model.card.data, model.card.licence, model.card.intended_use])
    assert model.card.limits


def test_what_people_call_can_be_evaluated_as_served() -> None:
    """All but streams of text that goes on freely, which has no right answer: the network behind it is judged."""
    streams = {name for name in CALLED if all_models()[name].spec.decoupled}
    assert streams == {"tiny_gpt_text"}
    assert set(CALLED) - streams <= set(JUDGED)
    assert "tiny_gpt" in JUDGED


def test_the_cards_in_git_are_those_of_specs_and_facts() -> None:
    for name, text in card_files().items():
        assert (ROOT / "docs/models" / name).read_text(encoding="utf-8") == text, "run `maas cards --write`"


def test_a_model_is_exported_after_what_it_requires() -> None:
    order = in_order(ALL)
    assert sorted(order) == ALL
    for name in order:
        assert all(order.index(part) < order.index(name) for part in requirements(all_models()[name]))


def test_the_table_is_filtered_by_task_accuracy_and_latency(maas: Maas) -> None:
    every = json.loads(maas("models", "--json", "--all").stdout)
    assert [row["model"] for row in every] == ALL
    carded = json.loads(maas("models", "--json").stdout)
    assert {row["model"] for row in carded} == {row["model"] for row in every if row["card"]}
    digits = json.loads(maas("models", "--json", "--task", "IMAGE").stdout)
    assert {"digits", "digits_cnn"} <= {row["model"] for row in digits} < {row["model"] for row in carded}
    good = json.loads(maas("models", "--json", "--min-accuracy", "0.98").stdout)
    assert all(row["measure"] == "accuracy" and row["value"] >= 0.98 for row in good)
    quick = json.loads(maas("models", "--json", "--max-latency", "3").stdout)
    assert all(row["p50_ms"] <= 3 for row in quick)
    assert "no model of the catalogue is like that" in maas("models", "--task", "teleportation").stdout
