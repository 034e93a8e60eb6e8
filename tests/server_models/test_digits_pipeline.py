"""The three steps of ``digits`` behind a real Triton: pictures in, labels out, each bad picture told by itself.

Between the two Python models stands a network whose answer is easy to foresee; the real one is tested where it is
trained.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from PIL import Image
from tritonclient.utils import InferenceServerException

from maas_export.python_models import load_module, source_files
from maas_server.embedded import EmbeddedTriton

ROOT = Path(__file__).resolve().parents[2]
LABELS = [str(digit) for digit in range(10)]
SOURCES = {"digits_postprocess": "rank_labels"}
STAND_IN_CONFIG = """
name: "digits_cnn"
backend: "python"
max_batch_size: 32
input { name: "image" data_type: TYPE_FP32 dims: [1, 28, 28] }
output { name: "logits" data_type: TYPE_FP32 dims: [10] }
"""
STAND_IN = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        images = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("logits", image[:, 0, 4:24].mean(2)[:, ::2] * 20)])
                for image in images]
"""

picture = load_module("digits_preprocess", "picture")
ranking = load_module("rank_labels", "ranking")


def stand_in(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What :data:`STAND_IN` computes: the ink in every second row."""
    return np.asarray(image[:, 0, 4:24].mean(2)[:, ::2] * 20)


def expected(pictures: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
    image, errors = picture.read_digits(pictures)
    label, score = ranking.rank(stand_in(image), errors, LABELS, 3)
    return {"label": label, "score": score, "error": np.array([[text.encode()] for text in errors], dtype=np.object_)}


def add_model(repository: Path, source: str, name: str = "", labels: Sequence[str] = LABELS, **parameters: str) -> None:
    """A model of the repository in git, possibly under another name and with other parameters."""
    config = (ROOT / "model_repository" / source / "config.pbtxt").read_text(encoding="utf-8")
    config = config.replace(f'name: "{source}"', f'name: "{name or source}"', 1)
    for key, value in parameters.items():
        config = re.sub(rf'(key: "{key}"\s+value {{\s+string_value: )"[^"]*"', rf'\1"{value}"', config)
    # So long that requests sent at the same time meet in one batch.
    config = config.replace("dynamic_batching {\n}", "dynamic_batching { max_queue_delay_microseconds: 100000 }")
    version = repository / (name or source) / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(config, encoding="utf-8")
    for path in source_files(SOURCES.get(source, source)):
        shutil.copy(path, version)
    if labels:
        (version / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


@pytest.fixture(scope="module")
def triton(module_triton_server: Any, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedTriton:
    repository = tmp_path_factory.mktemp("digits") / "repository"
    for model in ("digits", "digits_preprocess", "digits_postprocess"):
        add_model(repository, model)
    (repository / "digits_cnn" / "1").mkdir(parents=True)
    (repository / "digits_cnn" / "config.pbtxt").write_text(STAND_IN_CONFIG)
    (repository / "digits_cnn" / "1" / "model.py").write_text(STAND_IN)
    # Asked by one test only, which counts its runs from 0.
    add_model(repository, "digits_preprocess", "counted_preprocess")
    add_model(repository, "digits", "counted_digits")
    config = repository / "counted_digits" / "config.pbtxt"
    config.write_text(config.read_text().replace("digits_preprocess", "counted_preprocess"))
    add_model(repository, "digits_preprocess", "small_pictures", max_pixels="39999")
    add_model(repository, "digits_preprocess", "no_limit", max_pixels="many")
    add_model(repository, "digits_preprocess", "limit_of_none", max_pixels="0")
    add_model(repository, "digits_postprocess", "top_eleven", top_k="11")
    add_model(repository, "digits_postprocess", "top_two_in_three", top_k="2")
    add_model(repository, "digits_postprocess", "no_labels", labels=())
    add_model(repository, "digits_postprocess", "nine_labels", labels=LABELS[:9])
    server: EmbeddedTriton = module_triton_server(repository)
    return server


@pytest.fixture(scope="module")
def huge(encode: Any) -> bytes:
    """A whole file of 400 million white pixels, 91 kB."""
    return bytes(encode(Image.new("1", (20_000, 20_000), 1)))


def request(wire: Any, name: str, data: npt.NDArray[Any]) -> Any:
    tensor = wire.InferInput(name, data.shape, "BYTES" if data.dtype == np.object_ else "FP32")
    tensor.set_data_from_numpy(data)
    return tensor


def ask(triton: EmbeddedTriton, pictures: Sequence[bytes], protocol: str = "grpc", model: str = "digits") -> Any:
    wire, url = (http_client, triton.http_url) if protocol == "http" else (grpc_client, triton.grpc_url)
    with wire.InferenceServerClient(url) as client:
        column = np.array(pictures, dtype=np.object_).reshape(-1, 1)
        return client.infer(model, [request(wire, "picture", column)])


def answers(result: Any) -> dict[str, npt.NDArray[Any]]:
    return {name: result.as_numpy(name) for name in ("label", "score", "error")}


def assert_same(got: dict[str, npt.NDArray[Any]], wanted: dict[str, npt.NDArray[Any]]) -> None:
    assert got["label"].tolist() == wanted["label"].tolist()
    assert got["error"].tolist() == wanted["error"].tolist()
    assert np.allclose(got["score"], wanted["score"], atol=1e-6)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_pictures_of_different_size_and_format_in_one_batch(
    protocol: str, triton: EmbeddedTriton, draw: Any, encode: Any
) -> None:
    pictures = [
        encode(draw("2", size=(600, 400)), "JPEG"),
        encode(draw("7", size=(64, 90)).convert("L")),
        encode(draw("0", ink=(255, 255, 255), ground=(0, 0, 0)).convert("1")),
    ]
    got = answers(ask(triton, pictures, protocol))
    assert_same(got, expected(pictures))
    assert got["error"].tolist() == [[b""]] * 3
    assert len({tuple(row) for row in got["label"].tolist()}) > 1
    assert (got["score"][:, 0] >= got["score"][:, 1]).all()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_bad_picture_loses_no_other_of_its_batch(
    protocol: str, triton: EmbeddedTriton, draw: Any, encode: Any
) -> None:
    two, seven = encode(draw("2")), encode(draw("7", size=(90, 64)))
    got = answers(
        ask(triton, [two, b"some text", encode(Image.new("L", (50, 50), 255)), two[:-300], b"", seven], protocol)
    )
    alone = [answers(ask(triton, [one], protocol)) for one in (two, seven)]
    for row, wanted in ((0, alone[0]), (5, alone[1])):
        assert_same({name: values[row : row + 1] for name, values in got.items()}, wanted)
    assert [text.decode().partition(";")[0] for text in got["error"][1:5, 0]] == [
        "wanted a PNG or JPEG file, got text",
        "no digit found: the picture is blank",
        "the PNG file is truncated or damaged",
        "the picture is empty (0 bytes)",
    ]
    assert got["label"][1:5].tolist() == [[b"", b"", b""]] * 4
    assert not got["score"][1:5].any()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "wanted a PNG or JPEG file, got text"),
        ("empty", "the picture is empty"),
        ("truncated", "the JPEG file is truncated or damaged"),
        ("blank", "no digit found: the picture is blank"),
        ("huge", "20000 x 20000 = 400,000,000 pixels, at most 25,000,000 are read"),
    ],
)
def test_a_request_with_no_good_picture_is_refused(
    kind: str, reason: str, protocol: str, huge: bytes, triton: EmbeddedTriton, draw: Any, encode: Any
) -> None:
    data = {
        "text": b"this is not a picture",
        "empty": b"",
        "truncated": encode(draw(), "JPEG")[:-500],
        "blank": encode(Image.new("RGB", (64, 90), (200, 190, 180))),
        "huge": huge,
    }[kind]
    with pytest.raises(InferenceServerException, match=re.escape(reason)) as caught:
        ask(triton, [data], protocol)
    assert caught.value.status() == ("400" if protocol == "http" else "StatusCode.INVALID_ARGUMENT")
    assert "\n" not in caught.value.message()


def test_a_refused_batch_names_its_first_pictures(triton: EmbeddedTriton) -> None:
    with pytest.raises(InferenceServerException) as caught:
        ask(triton, [b"", b"text", b"", b"", b""])
    message = caught.value.message()
    assert "picture 0: the picture is empty" in message
    assert "picture 1: wanted a PNG or JPEG file, got text" in message
    assert message.endswith("and 2 more")


def test_requests_that_meet_in_one_batch_get_their_own_answers(triton: EmbeddedTriton, draw: Any, encode: Any) -> None:
    drawn = [encode(draw(label, size=(60 + 10 * n, 90))) for n, label in enumerate("270270")]
    groups = [[drawn[0]], [b"bad"], drawn[1:4], [drawn[4], b"bad"], [b""], [drawn[5]]] * 2

    def one(pictures: list[bytes]) -> Any:
        try:
            return answers(ask(triton, pictures, model="counted_digits"))
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(groups)) as pool:
        results = list(pool.map(one, groups))
    for pictures, result in zip(groups, results, strict=True):
        if not any(len(data) > 10 for data in pictures):
            assert isinstance(result, InferenceServerException)
        else:
            assert_same(result, expected(pictures))
    assert runs_of(triton, "counted_preprocess", requests=len(groups)) < len(groups)


def runs_of(triton: EmbeddedTriton, model: str, *, requests: int) -> int:
    """In how many runs a model has answered so many requests; Triton counts them only after it has answered."""
    give_up = time.monotonic() + 10
    with http_client.InferenceServerClient(triton.http_url) as client:
        while True:
            stats = client.get_inference_statistics(model)["model_stats"][0]
            asked = sum(int(stats["inference_stats"][end].get("count", 0)) for end in ("success", "fail"))
            if asked >= requests or time.monotonic() > give_up:
                assert asked == requests
                return int(stats["execution_count"])
            time.sleep(0.01)


def test_the_size_limit_is_a_parameter_of_the_config(triton: EmbeddedTriton, draw: Any, encode: Any) -> None:
    assert ask(triton, [encode(draw(size=(199, 200)))], model="small_pictures").as_numpy("image").any()
    with pytest.raises(InferenceServerException, match="200 x 200 = 40,000 pixels, at most 39,999"):
        ask(triton, [encode(draw(size=(200, 200)))], model="small_pictures")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_logits_that_are_no_numbers_are_an_error_of_the_server(protocol: str, triton: EmbeddedTriton) -> None:
    wire, url = (http_client, triton.http_url) if protocol == "http" else (grpc_client, triton.grpc_url)
    logits = np.array([[0.0] * 9 + [np.nan]], dtype=np.float32)
    inputs = [request(wire, "logits", logits), request(wire, "error", np.array([[b""]], dtype=np.object_))]
    with (
        wire.InferenceServerClient(url) as client,
        pytest.raises(InferenceServerException, match="the logits hold NaN or infinity") as caught,
    ):
        client.infer("digits_postprocess", inputs)
    assert caught.value.status() == ("500" if protocol == "http" else "StatusCode.INTERNAL")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("no_limit", "parameter max_pixels must be a whole number above 0, got 'many'"),
        ("limit_of_none", "parameter max_pixels must be a whole number above 0, got '0'"),
        ("top_eleven", "parameter top_k is 11, there are only 10 classes"),
        ("top_two_in_three", r"parameter top_k is 2, label has the dims \[3\]"),
        ("no_labels", "labels.txt is missing beside model.py"),
        ("nine_labels", "labels.txt names 9 classes, the config gives logits of 10"),
    ],
)
def test_a_config_that_does_not_fit_keeps_the_model_from_loading(
    model: str, reason: str, triton: EmbeddedTriton
) -> None:
    assert re.search(reason, triton.failed[model])


def test_only_the_models_that_cannot_load_fail(triton: EmbeddedTriton) -> None:
    pipeline = {"digits", "digits_preprocess", "digits_cnn", "digits_postprocess"}
    assert set(triton.models) == pipeline | {"counted_digits", "counted_preprocess", "small_pictures"}
