"""Folders of Hugging Face's libraries: built from tiny configurations, offline."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maas_core.errors import WrongUse
from maas_export.huggingface.directory import read_directory
from maas_export.huggingface.networks import load_part
from maas_export.huggingface.picture import picture_settings
from maas_export.huggingface.tasks import DECODER, ENCODER, MODEL, task_named
from maas_export.own.loading import user_code
from maas_export.own.model import OwnModel
from maas_export.own.plan import plan_of
from maas_export.python_models import load_module
from tests.conftest import Maas, json_lines
from tests.export import hf_folders as folders

NETWORKS: dict[str, tuple[Callable[[Path], Path], str, tuple[str, ...]]] = {
    "bert": (folders.text_classifier, "feature-extraction", (MODEL,)),
    "resnet": (folders.picture_classifier, "image-classification", (MODEL,)),
    "yolos": (folders.detector, "object-detection", (MODEL,)),
    "gpt2": (folders.generator, "text-generation", (MODEL,)),
    "whisper": (folders.speech, "automatic-speech-recognition", (ENCODER, DECODER)),
    "marian": (folders.translator, "translation", (ENCODER, DECODER)),
}


def test_a_classifier_of_texts_becomes_an_ensemble_that_passes_the_ladder(maas: Maas, tmp_path: Path) -> None:
    folder = folders.text_classifier(tmp_path / "folder")
    done = maas("export", f"hf:{folder}", "--task", "text-classification", "--name", "mood", "--json")
    assert done.returncode == 0, done.stderr
    lines = json_lines(done.stdout)
    verified = {Path(line["bundle"]).parent.name: line for line in lines if "passed" in line}
    assert list(verified) == ["mood_model", "mood_tokenizer", "mood_labels", "mood"]
    assert all(line["passed"] for line in verified.values())
    assert [rung["rung"] for rung in verified["mood"]["rungs"]] == ["files", "steps", "http", "grpc"]
    assert not [guess for guess in lines[0]["guesses"] if guess["subject"] == "weights"]
    labels = tmp_path / "build" / "bundles" / "mood_labels" / "python" / "labels.txt"
    assert labels.read_text() == "no\nyes\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [name for name in NETWORKS if name != "bert"])
def test_every_architecture_passes_the_ladder_from_a_configuration_alone(kind: str, maas: Maas, tmp_path: Path) -> None:
    make, task, _ = NETWORKS[kind]
    done = maas("export", f"hf:{make(tmp_path / kind)}", "--task", task, "--json", timeout_s=400)
    assert done.returncode == 0, done.stderr
    lines = json_lines(done.stdout)
    assert all(line["passed"] for line in lines if "passed" in line)
    assert any(guess["subject"] == "weights" and guess["value"] == "random" for guess in lines[0]["guesses"])


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_architecture_is_batched_and_has_the_axes_that_callers_need(kind: str, tmp_path: Path) -> None:
    make, task, parts = NETWORKS[kind]
    assert task_named(task).parts == parts
    folder = make(tmp_path / kind)
    for part in parts:
        own = load_part(folder, task, part)
        spec = plan_of(own, kind, kind, lambda doing: user_code(folder, doing)).spec
        assert spec.serving.max_batch_size == 8
        text = {tensor.name for tensor in spec.inputs} & {"input_ids", "token"}
        assert {name for name in text if spec.inputs[0].dims in (("length",), ("time",))} == text


def test_a_text_grown_token_by_token_gets_the_same_logits_as_at_once(tmp_path: Path) -> None:
    own = load_part(folders.generator(tmp_path / "gpt2"), "text-generation", MODEL)
    module, example = own.module.eval(), _past(own)
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9]])
    with torch.inference_mode():
        past = example[:1, :, :, :, :0]
        whole = module(tokens, past)["logits"]
        first = module(tokens[:, :4], past)
        rest = module(tokens[:, 4:], first["present"])
    torch.testing.assert_close(torch.cat([first["logits"], rest["logits"]], dim=1), whole, atol=1e-5, rtol=1e-5)


def _past(own: OwnModel) -> torch.Tensor:
    assert isinstance(own.inputs, dict)
    past: torch.Tensor = own.inputs["past"]
    return past


@pytest.mark.parametrize("size", [(50, 80), (80, 50), (32, 32)])
def test_pictures_are_prepared_as_their_processor_does(size: tuple[int, int], tmp_path: Path) -> None:
    from transformers import ViTImageProcessorPil

    processor = folders.picture_classifier(tmp_path / "folder") / "preprocessor_config.json"
    settings = picture_settings(json.loads(processor.read_bytes()), None)
    resizing = load_module("hf_picture", "resizing")
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    mine, errors = resizing.read_pictures([file.getvalue(), b""], resizing.settings_of(json.dumps(settings).encode()))
    theirs = ViTImageProcessorPil.from_pretrained(processor.parent)(Image.fromarray(pixels), return_tensors="np")
    np.testing.assert_allclose(mine[0], theirs["pixel_values"][0], atol=1e-5)
    assert (errors[0], bool(errors[1])) == ("", True)


def test_processors_that_crop_cut_the_middle_out_and_others_fit_the_configuration() -> None:
    crop = {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}}
    settings = picture_settings(crop, None)
    assert settings is not None
    assert (settings["shorter"], settings["size"]) == (40, [32, 32])
    keeps = {"size": {"shortest_edge": 800, "longest_edge": 1333}}
    assert picture_settings(keeps, None) is None
    fitted = picture_settings(keeps, [32, 48])
    assert fitted is not None
    assert (fitted["shorter"], fitted["size"]) == (0, [32, 48])


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _own_code(folder: Path) -> None:
    _changed(folder, auto_map={"AutoModel": "modeling.Net"})


def _unknown(folder: Path) -> None:
    _changed(folder, model_type="zzz")


def _changed(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **values}))


WRONG: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no config": (_without_config, "text-classification", "has no config.json"),
    "pickled": (_pickled, "text-classification", "pytorch_model.bin is not safetensors.*safe_serialization"),
    "own code": (_own_code, "text-classification", "auto_map"),
    "unknown": (_unknown, "text-classification", "architecture 'zzz' cannot be built"),
    "other task": (lambda _: None, "object-detection", "a bert model does not do.*text-classification"),
    "other head": (lambda _: None, "text-generation", "the weights lack .* which would be random"),
    "no task": (lambda _: None, "painting", "there is no task 'painting'.*translation"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_exported_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    spoil, task, message = WRONG[case]
    folder = folders.text_classifier(tmp_path / "folder")
    spoil(folder)
    with pytest.raises(WrongUse, match=message) as caught:
        load_part(folder, task, MODEL)
    assert "\n" not in caught.value.message


def test_nothing_is_downloaded_for_a_name(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="nothing is downloaded"):
        read_directory(tmp_path / "bert-base-uncased")
