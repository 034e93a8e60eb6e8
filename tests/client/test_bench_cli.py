"""``maas bench`` on a real server: what it measures, what it sends, what it says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from maas_client import ModelSpec, TensorSpec
from maas_client._bench.inputs import generated
from maas_client.bench_cli import bench

SHORT = ("--seconds", "0.2", "--warmup", "0.05", "--concurrency", "1,3")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments], prog_name="maas bench")


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, urls: dict[str, str]) -> str:
    return urls[request.param]


def measured(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, *SHORT, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_json_has_the_fields_that_others_read(url: str) -> None:
    found = measured("small", "--batch-size", 2, "--url", url)
    assert {
        key: found[key] for key in ("schema", "model", "version", "digest", "url", "inputs", "batch_size", "seed")
    } == {
        "schema": 1,
        "model": "small",
        "version": 1,
        "digest": "",
        "url": url,
        "inputs": "generated",
        "batch_size": 2,
        "seed": 0,
    }
    one, three = found["levels"]
    assert (one["concurrency"], three["concurrency"]) == (1, 3)
    assert found["at_one"] == one
    assert found["at_best"] in (one, three)
    for level in (one, three):
        assert level["requests"] > 0
        assert level["errors"] == 0
        assert 0 < level["p50_ms"] <= level["p90_ms"] <= level["p99_ms"]
        assert level["requests_per_s"] == pytest.approx(level["requests"] / level["elapsed_s"])
        assert level["samples_per_s"] == pytest.approx(2 * level["requests_per_s"])


@pytest.mark.parametrize("model", ["pictures", "texts", "sums"])
def test_inputs_are_made_up_for_pictures_texts_and_sequences(url: str, model: str) -> None:
    assert measured(model, "--url", url)["levels"][1]["errors"] == 0


def test_a_stream_counts_all_its_answers(url: str) -> None:
    level = measured("counter", "--input", "n=5", "--url", url)["at_one"]
    assert level["answers_per_s"] == pytest.approx(5 * level["requests_per_s"])


def test_files_are_sent_in_place_of_generated_inputs(url: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((2, 1, 3), np.float32))
    (tmp_path / "b.csv").write_text("1\n2\n")
    assert measured("small", tmp_path / "a.npz", "--url", url)["inputs"] == str(tmp_path / "a.npz")
    assert measured("sums", tmp_path / "b.csv", "--url", url)["at_one"]["requests"] > 0


def test_people_get_a_table_and_a_picture(url: str, tmp_path: Path) -> None:
    result = run("small", "--url", url, *SHORT, "--plot", tmp_path / "speed.png")
    assert result.exit_code == 0, result.output
    head, columns, one, three = result.stdout.splitlines()
    assert head.startswith("small version 1 at ")
    assert columns.split()[:2] == ["callers", "requests/s"]
    assert (one.split()[0], three.split()[0]) == ("1", "3")
    assert Image.open(tmp_path / "speed.png").format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (("nosuch",), 2, "unknown model"),
        (("small", "/no/such.npz"), 2, "no such file"),
        (("small", "--batch-size", "5"), 2, "batches of at most 4, got --batch-size 5"),
        (("small", "--concurrency", "0"), 2, "from 1 to 256 callers"),
        (("small", "--concurrency", "a"), 2, "no list of numbers"),
        (("small", "--plot", "x.pdf"), 2, "--plot wants a .png file"),
        (("counter", "--input", "n=0"), 2, "gave no answer to the first request"),
        (("pictures", "--input", "picture=refuse"), 2, "not a picture"),
        (("counter", "--input", "n=-2"), 1, "asked to fail"),
    ],
)
def test_what_cannot_be_measured_is_told(url: str, arguments: tuple[str, ...], exit_code: int, text: str) -> None:
    result = run(*arguments, "--url", url)
    assert result.exit_code == exit_code, result.output
    assert text in result.stderr
    assert result.stdout == ""


def test_requests_that_fail_make_the_measurement_invalid(url: str, tmp_path: Path) -> None:
    for name, text in (("a.txt", "cat"), ("b.txt", "refuse")):
        (tmp_path / name).write_text(text)
    result = run("pictures", tmp_path / "a.txt", tmp_path / "b.txt", "--url", url, *SHORT, "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["at_one"]["errors"] > 0
    assert "requests of 1 callers failed" in result.stderr
    assert "not a picture" in result.stderr


def test_no_server_is_exit_code_3() -> None:
    assert run("small", "--url", "http://127.0.0.1:1").exit_code == 3


def spec(**inputs: tuple[str, tuple[int, ...]]) -> ModelSpec:
    return ModelSpec("m", (1,), {name: TensorSpec(name, *what) for name, what in inputs.items()}, {}, max_batch_size=8)


def test_generated_inputs_follow_the_metadata_and_the_seed(tmp_path: Path) -> None:
    model = spec(ids=("INT64", (-1, -1)), picture=("BYTES", (-1, 1)), x=("FP16", (-1, 2, 3)), text=("BYTES", (-1, 1)))
    first, second, other = (generated(model, {}, seed=seed, batch_size=2, open_size=5) for seed in (1, 1, 2))
    one = first[0]
    assert (one["ids"].dtype, one["ids"].shape, set(one["ids"].ravel().tolist())) == (np.int64, (2, 5), {0, 1})
    assert (one["x"].dtype, one["x"].shape) == (np.float16, (2, 2, 3))
    (tmp_path / "a.png").write_bytes(one["picture"][0, 0])
    Image.open(tmp_path / "a.png").load()
    assert len(one["text"][1, 0].split()) == 8
    for name in one:
        np.testing.assert_array_equal(one[name], second[0][name])
    assert any((one[name] != other[0][name]).any() for name in one)
    assert any((one[name] != first[1][name]).any() for name in one)
