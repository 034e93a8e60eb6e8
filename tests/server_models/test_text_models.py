"""The preprocessing of texts behind a real Triton: each bad text told by itself, a request of bad ones refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

from maas_export.catalogue import PythonModel, model_named
from maas_export.python_models import source_files
from maas_server.embedded import EmbeddedTriton

ROOT = Path(__file__).resolve().parents[2]
FIRST_OUTPUT = {"text_preprocess": "tokens", "sentence_tokenizer": "input_ids"}


def add_model(repository: Path, model: str, name: str, limit: str = "", *, with_assets: bool = True) -> None:
    """A model of the repository in git, possibly under another name and with another limit."""
    config = (ROOT / "model_repository" / model / "config.pbtxt").read_text(encoding="utf-8")
    config = config.replace(f'name: "{model}"', f'name: "{name}"', 1)
    if limit:
        config = re.sub(r'(key: "max_\w+"\s+value {\s+string_value: )"[^"]*"', rf'\1"{limit}"', config)
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(config, encoding="utf-8")
    for path in source_files(model):
        shutil.copy(path, version / path.name)
    source = model_named(model)
    assert isinstance(source, PythonModel)
    for file, content in source.assets.items() if with_assets else ():
        (version / file).write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture(scope="module")
def triton(module_triton_server: Any, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedTriton:
    repository = tmp_path_factory.mktemp("texts") / "repository"
    for model in FIRST_OUTPUT:
        add_model(repository, model, model)
    add_model(repository, "text_preprocess", "short_texts", "5")
    add_model(repository, "text_preprocess", "no_limit", "many")
    add_model(repository, "sentence_tokenizer", "no_vocabulary", with_assets=False)
    server: EmbeddedTriton = module_triton_server(repository)
    return server


def ask(triton: EmbeddedTriton, model: str, texts: Sequence[bytes], protocol: str = "grpc") -> Any:
    wire, url = (http_client, triton.http_url) if protocol == "http" else (grpc_client, triton.grpc_url)
    column = np.array(texts, dtype=np.object_).reshape(-1, 1)
    tensor = wire.InferInput("text", column.shape, "BYTES")
    tensor.set_data_from_numpy(column)
    with wire.InferenceServerClient(url) as client:
        return client.infer(model, [tensor])


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("model", FIRST_OUTPUT)
def test_a_bad_text_loses_no_other_of_its_batch(model: str, protocol: str, triton: EmbeddedTriton) -> None:
    result = ask(triton, model, [b"Oslo", b"", "Köln".encode("latin-1"), "Malmö hus".encode()], protocol)
    errors = [error.decode() for error in result.as_numpy("error").ravel()]
    assert [bool(error) for error in errors] == [False, True, True, False]
    assert "empty" in errors[1]
    assert "not UTF-8" in errors[2]
    numbers = result.as_numpy(FIRST_OUTPUT[model])
    alone = ask(triton, model, ["Malmö hus".encode()], protocol).as_numpy(FIRST_OUTPUT[model])
    assert numbers[3].tolist() == alone[0].tolist()
    assert not numbers[1:3].any()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("model", FIRST_OUTPUT)
def test_a_request_with_no_good_text_is_refused(model: str, protocol: str, triton: EmbeddedTriton) -> None:
    with pytest.raises(InferenceServerException, match=r"text 0: the text is empty .*; text 1: ") as caught:
        ask(triton, model, [b"", b" \n"], protocol)
    assert caught.value.status() == ("400" if protocol == "http" else "StatusCode.INVALID_ARGUMENT")


def test_a_long_text_is_refused_with_its_length(triton: EmbeddedTriton) -> None:
    with pytest.raises(InferenceServerException, match="the text has 65 characters, at most 64 are read"):
        ask(triton, "text_preprocess", [b"x" * 65])
    with pytest.raises(InferenceServerException, match="the text has 6 characters, at most 5 are read"):
        ask(triton, "short_texts", ["äöüäöü".encode()])


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("no_limit", "parameter max_characters must be a whole number above 0, got 'many'"),
        ("no_vocabulary", "tokenizer.json"),
    ],
)
def test_what_does_not_fit_keeps_the_model_from_loading(model: str, reason: str, triton: EmbeddedTriton) -> None:
    assert re.search(reason, triton.failed[model])
