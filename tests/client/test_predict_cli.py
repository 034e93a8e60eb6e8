"""``maas predict`` on real files and a real server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from maas_client.predict_cli import predict


def run(*arguments: object) -> Result:
    return CliRunner().invoke(predict, [str(argument) for argument in arguments], prog_name="maas predict")


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, urls: dict[str, str]) -> str:
    return urls[request.param]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("cat.png", "bad one.png", "refuse.jpg", "dog.jpg")]
    for path in paths:
        path.write_text(path.stem)
    return paths


def test_each_picture_gets_its_answer_in_order(url: str, pictures: list[Path]) -> None:
    result = run("pictures", pictures[0], pictures[3], "--json", "--url", url)
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)
    assert first == {
        "input": str(pictures[0]),
        "label": "cat",
        "score": pytest.approx(0.9),
        "model": "pictures",
        "version": 1,
    }
    assert (second["input"], second["label"]) == (str(pictures[3]), "dog")


def test_a_bad_picture_costs_the_others_nothing(url: str, pictures: list[Path]) -> None:
    result = run("pictures", *pictures, "--json", "--url", url)
    assert result.exit_code == 1
    cat, bad, refused, dog = json.loads(result.stdout)
    assert (cat["label"], dog["label"]) == ("cat", "dog")
    assert bad["error"] == "not a picture"
    assert "not a picture" in refused["error"]
    assert "label" not in bad
    assert "label" not in refused


def test_people_get_a_table(url: str, pictures: list[Path]) -> None:
    lines = run("pictures", *pictures, "--url", url).stdout.splitlines()
    assert lines[0].split() == ["input", "label", "probability"]
    assert lines[1].split() == [str(pictures[0]), "cat", "0.900"]
    assert "not a picture" in lines[2]


def test_arrays_from_npz_and_json(url: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((2, 1, 3), np.float32))
    (tmp_path / "b.json").write_text('{"x": [[[1, 2, 3]]]}')
    (tmp_path / "c.json").write_text("[[[4, 5, 6]]]")
    result = run("small", *(tmp_path / name for name in ("a.npz", "b.json", "c.json")), "--json", "--url", url)
    assert [row["outputs"]["y"] for row in json.loads(result.stdout)] == [
        [[[1, 1, 1]], [[1, 1, 1]]],
        [[[1, 2, 3]]],
        [[[4, 5, 6]]],
    ]


def test_several_texts_in_one_file_get_a_row_each(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[["cat"], ["bad"]]')
    result = run("pictures", tmp_path / "a.json", "--json", "--url", url)
    first, second = json.loads(result.stdout)
    assert (first["input"], first["label"]) == (f"{tmp_path / 'a.json'}[0]", "cat")
    assert second["error"] == "not a picture"
    assert result.exit_code == 1


def test_only_the_named_output_is_shown(url: str, pictures: list[Path]) -> None:
    result = run("pictures", pictures[0], "--output", "label", "--json", "--url", url)
    assert json.loads(result.stdout)[0]["outputs"] == {"label": ["cat", "other"]}


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.npz", b"not a zip", "no readable .npz"),
        ("a.json", b"{", "no readable .json"),
        ("a.png", b"picture", "takes FP32 numbers"),
        ("a.json", b"[[[1, 2]]]", "axis 2 must be 3"),
        ("a.json", b'{"z": 1}', "has no input 'z'"),
    ],
)
def test_a_file_that_does_not_fit_is_told(url: str, tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    result = run("small", tmp_path / name, "--json", "--url", url)
    assert result.exit_code == 1
    assert text in json.loads(result.stdout)[0]["error"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (("small", "/no/such/file.png"), 2, "no such file: /no/such/file.png"),
        (("nosuch", __file__), 2, "unknown model"),
        (("small", __file__, "--output", "z"), 2, "has no output 'z'"),
        (("../small", __file__), 2, "letters, digits"),
        (("small", __file__, "--model-version", "9"), 2, "version 9"),
        (("small", __file__, "--timeout", "-1"), 2, "timeout_s"),
    ],
)
def test_wrong_use_is_one_line(url: str, arguments: tuple[str, ...], exit_code: int, text: str) -> None:
    result = run(*arguments, "--url", url)
    assert result.exit_code == exit_code, result.output
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "grpc://127.0.0.1:1"])
def test_no_server_is_one_line_and_exit_code_3(url: str) -> None:
    result = run("small", __file__, "--url", url)
    assert result.exit_code == 3
    assert url in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
