"""The whole way of a picture, served: read right, or refused with its reason while the others are answered."""

from __future__ import annotations

import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http
from PIL import Image

from tests.conftest import ROOT, Journey, Maas

PICTURES = sorted((ROOT / "tests" / "pictures" / "digits").iterdir())
WANTED_RIGHT = 36


@pytest.fixture(scope="module")
def server(journey: Journey, module_triton_server: Any) -> Any:
    return module_triton_server(journey.repository)


def predict(maas: Maas, server: Any, *paths: Path) -> tuple[int, list[dict[str, Any]]]:
    done = maas("predict", "digits", *paths, "--url", f"grpc://{server.grpc_url}", "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_at_least_36_of_40_drawn_pictures_are_read_right(maas: Maas, server: Any) -> None:
    assert len(PICTURES) == 40
    assert set(Counter(path.name[0] for path in PICTURES).values()) == {4}
    code, answers = predict(maas, server, *PICTURES)
    assert code == 0
    assert [answer["input"] for answer in answers] == [str(path) for path in PICTURES]
    assert all(answer.keys() == {"input", "label", "score", "model", "version"} for answer in answers)
    wrong = [Path(answer["input"]).name for answer in answers if Path(answer["input"]).name[0] != answer["label"]]
    assert len(PICTURES) - len(wrong) >= WANTED_RIGHT, wrong


def enormous_png() -> bytes:
    buffer = BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


BAD = {
    "truncated.png": (PICTURES[0].read_bytes()[:200], ""),
    "text.png": (b"I am not a picture", ""),
    "empty.png": (b"", ""),
    "enormous.png": (enormous_png(), "400,000,000 pixels"),
}


@pytest.fixture
def bad_files(tmp_path: Path) -> dict[str, Path]:
    for name, (data, _) in BAD.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in BAD}


def test_each_bad_picture_gets_its_reason_and_the_others_their_answers(
    maas: Maas, server: Any, bad_files: dict[str, Path]
) -> None:
    good = [path for path in PICTURES if path.name.startswith("6")]
    code, answers = predict(maas, server, good[0], *bad_files.values(), *good[1:])
    assert code == 1
    labels = [answer["label"] for answer in answers if "label" in answer]
    assert labels == ["6"] * len(good)
    errors = {Path(answer["input"]).name: answer["error"] for answer in answers if "error" in answer}
    assert errors.keys() == BAD.keys()
    assert len(set(errors.values())) == len(BAD), "each kind of bad picture has a reason of its own"
    for name, (_, words) in BAD.items():
        assert words in errors[name]


def request(server: Any, pictures: list[bytes]) -> Any:
    tensor = tritonclient.http.InferInput("picture", [len(pictures), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[picture] for picture in pictures], dtype=np.object_))
    with tritonclient.http.InferenceServerClient(server.http_url) as client:
        return client.infer("digits", [tensor])


def test_one_batch_may_hold_pictures_of_different_size_and_a_bad_one(server: Any) -> None:
    sizes = {Image.open(path).size for path in PICTURES[:2]}
    assert len(sizes) == 2
    answer = request(server, [PICTURES[0].read_bytes(), b"no picture", PICTURES[1].read_bytes()])
    assert answer.as_numpy("label")[:, 0].tolist() == [b"0", b"", b"0"]
    errors = answer.as_numpy("error").ravel().tolist()
    assert (errors[0], errors[2]) == (b"", b"")
    assert errors[1]
    np.testing.assert_allclose(answer.as_numpy("score")[1], 0.0)


@pytest.mark.parametrize("name", BAD)
def test_a_request_with_nothing_but_a_bad_picture_is_the_callers_mistake(server: Any, name: str) -> None:
    with pytest.raises(tritonclient.http.InferenceServerException) as caught:
        request(server, [BAD[name][0]])
    assert caught.value.status() == "400"
    assert "Traceback" not in str(caught.value)
    assert request(server, [PICTURES[0].read_bytes()]).as_numpy("label")[0, 0] == b"0", "the server serves on"


@pytest.mark.parametrize(
    ("model", "array", "reason"),
    [
        ("digits_cnn", np.zeros((1, 1, 28, 28), np.float64), "wants FP32 [batch <= 32, 1, 28, 28], got float64"),
        ("digits_cnn", np.zeros((1, 1, 28, 27), np.float32), "got float32 [1, 1, 28, 27]"),
        ("digits_cnn", np.zeros((33, 1, 28, 28), np.float32), "got a batch of 33; pass at most 32 rows at a time"),
        ("digits_cnn", np.full((1, 1, 28, 28), np.nan, np.float32), "NaN"),
        ("no_such_model", np.zeros((1, 1, 28, 28), np.float32), "no_such_model"),
    ],
)
def test_what_a_caller_passes_wrong_is_said_in_one_line(
    maas: Maas, server: Any, tmp_path: Path, model: str, array: np.ndarray[Any, Any], reason: str
) -> None:
    np.savez(tmp_path / "mine.npz", image=array)
    done = maas("predict", model, tmp_path / "mine.npz", "--url", f"grpc://{server.grpc_url}")
    assert done.returncode in (1, 2)
    assert reason in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_is_exit_code_3(maas: Maas) -> None:
    done = maas("predict", "digits", PICTURES[0], "--url", "grpc://127.0.0.1:9")
    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stderr
    assert len(done.stderr.splitlines()) == 1
