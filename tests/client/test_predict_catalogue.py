"""``maas predict`` on texts, sequences, streams and pictures, and the plots of their answers, on a real server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from maas_client.predict_cli import predict
from tests.client.catalogue import write_catalogue

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def stand_ins(module_triton_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("catalogue") / "repository"
    write_catalogue(folder)
    server = module_triton_server(folder)
    assert not server.failed
    return {"http": f"http://{server.http_url}", "grpc": f"grpc://{server.grpc_url}"}


@pytest.fixture(params=["http", "grpc"])
def run(request: pytest.FixtureRequest, stand_ins: dict[str, str]) -> Run:
    def call(*arguments: object, stdin: str | bytes | None = None) -> Result:
        command = [str(argument) for argument in arguments]
        options = ["--url", stand_ins[request.param]]
        return CliRunner().invoke(predict, [*command, *options], input=stdin, prog_name="maas predict")

    return call


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.new("L", (100, 80), 90).save(path)
    return path


def is_png(path: Path) -> bool:
    image = Image.open(path)
    return image.format == "PNG" and min(image.size) > 150 and len(image.getcolors(10**7) or []) > 10


def test_a_text_is_an_input_of_a_model_that_takes_texts(run: Run) -> None:
    result = run("mood", "a good day", "rain", "--json")
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)
    assert first == {"input": "a good day", "label": "glad", "score": 0.75, "model": "mood", "version": 1}
    assert (second["input"], second["label"]) == ("rain", "sad")


def test_a_text_file_and_standard_input_are_sent_without_their_last_line_end(run: Run, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("dog\n")
    result = run("embedding", tmp_path / "long.txt", "-", "--json", stdin="good\r\n")
    file, stdin = (row["outputs"]["embedding"] for row in json.loads(result.stdout))
    assert (file[3], file[14], stdin[14]) == (1, 1, 2)
    prompt = run("chat", "-", stdin="one two\n")
    assert prompt.stdout == "one two \n"


def test_each_text_has_its_own_error(run: Run) -> None:
    result = run("mood", "good", "", "--json")
    assert result.exit_code == 1
    good, empty = json.loads(result.stdout)
    assert good["label"] == "glad"
    assert empty["error"] == "an empty text"


@pytest.mark.parametrize("name", ["missing.txt", "missing.json", "missing.csv"])
def test_a_name_of_a_file_that_is_not_there_is_no_text(run: Run, name: str) -> None:
    result = run("mood", name)
    assert result.exit_code == 2
    assert f"no such file: {name}" in result.stderr


def test_a_picture_is_never_a_text(run: Run) -> None:
    result = run("scene", "good")
    assert (result.exit_code, "no such file: good" in result.stderr) == (2, True)


def test_objects_in_a_picture_are_told_with_their_boxes(run: Run, picture: Path) -> None:
    result = run("scene", picture, "--json")
    (row,) = json.loads(result.stdout)
    assert [(one["label"], one["box"]) for one in row["objects"]] == [("3", [10, 20, 30, 60]), ("7", [50, 20, 80, 60])]
    assert "3 0.90 [10 20 30 60], 7 0.80 [50 20 80 60]" in run("scene", "-", stdin=picture.read_bytes()).stdout


def test_a_csv_file_is_one_sequence_whose_last_answer_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shares.csv").write_text("share\n10 %\n\n0.3\n")
    result = run("share", tmp_path / "shares.csv", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["outputs"]["seen"] == [2]
    assert row["outputs"]["forecast"][0] == pytest.approx([0.18, 0.2, 0.22])
    assert "error" not in row


def test_a_column_is_named_where_there_are_several(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shares.csv").write_text("year,share\n2020,0.1\n2021,0.3\n")
    (row,) = json.loads(run("share", tmp_path / "shares.csv", "--column", "share", "--json").stdout)
    assert row["outputs"]["seen"] == [2]
    assert row["outputs"]["forecast"][0][1] == pytest.approx(0.2)


def test_an_observation_that_the_model_refuses_is_told_with_its_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("share\n0.1\nabc\n0.3\n")
    (tmp_path / "b.csv").write_text("0.1\n")
    result = run("share", tmp_path / "a.csv", tmp_path / "b.csv", "--json")
    assert result.exit_code == 1
    bad, good = json.loads(result.stdout)
    assert "line 3: " in bad["error"]
    assert "'abc' is no share" in bad["error"]
    assert good["outputs"]["seen"] == [1]


@pytest.mark.parametrize(
    ("content", "arguments", "text"),
    [
        ("", (), "is empty; put one observation on each line"),
        ("share\n", (), "has a heading and no observations"),
        ("a,b\n1,2\n", (), "has 2 columns (a, b); name one with --column"),
        ("a,b\n1,2\n", ("--column", "c"), "has the columns a, b, not 'c'"),
        ("a,b\n1\n", ("--column", "b"), "line 2 has 1 column(s); it needs 2"),
        (b"\xff\xfe", (), "is no readable CSV file"),
        ('a\n"1\n', (), "is no readable CSV file"),
    ],
)
def test_a_csv_file_that_cannot_be_read_is_told(
    run: Run, tmp_path: Path, content: str | bytes, arguments: tuple[str, ...], text: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run("share", tmp_path / "a.csv", *arguments, "--json")
    assert result.exit_code == 1
    assert text in json.loads(result.stdout)[0]["error"]


def test_tokens_are_shown_as_they_come(run: Run) -> None:
    assert run("chat", "to be or not").stdout == "to be or not \n"


def test_several_prompts_follow_each_other_under_their_names(run: Run) -> None:
    result = run("chat", "one two", "a fail b", "three")
    assert result.exit_code == 1
    assert result.stdout == "one two:\none two \na fail b:\na \nthree:\nthree \n"
    assert "a fail b: chat answered: asked to fail" in result.stderr


def test_a_stream_as_json_has_an_object_a_line(run: Run) -> None:
    result = run("chat", "one two", "fail", "--json")
    first, second, failed = (json.loads(line) for line in result.stdout.splitlines())
    assert first == {
        "input": "one two",
        "index": 0,
        "outputs": {"text": first["outputs"]["text"]},
        "model": "chat",
        "version": 1,
    }
    assert second["outputs"]["text"] == ["two "]
    assert "asked to fail" in failed["error"]
    assert result.exit_code == 1


def test_further_inputs_are_given_by_name(run: Run) -> None:
    assert run("chat", "a b c d e", "--input", "max_tokens=3").stdout == "a b c \n"
    assert run("chat", "a b c d e", "--input", "stop=x", "--input", "stop=d").stdout == "a b c \n"
    assert run("chat", "--input", "prompt=only here").stdout == "only here \n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("chat", "a", "--input", "max_tokens=three"), "--input max_tokens wants a number (INT32), got 'three'"),
        (("chat", "a", "--input", "max_token=3"), "did you mean 'max_tokens'?"),
        (("chat", "a", "--input", "max_tokens"), "--input wants NAME=VALUE, got 'max_tokens'"),
        (("chat", "a", "--input", "max_tokens=1", "--input", "max_tokens=2"), "wants the shape [1], got 2 value(s)"),
        (("chat",), "chat wants 'prompt'; give a text as INPUT, or --input NAME=VALUE"),
        (("scene",), "scene wants 'picture'; give a file as INPUT"),
        (("chat", "-", "-"), "standard input, which can be read once"),
        (("chat", "a", "--plot", "x.png"), "--plot has no picture for a stream"),
        (("share", __file__, "--output", "seen", "--plot", "x.png"), "--plot has no picture for the outputs seen"),
        (("mood", "a", "--plot", "x.pdf"), "--plot wants a .png file"),
        (("mood", "a", "--plot", "/no/such/folder/x.png"), "--plot wants a .png file in a folder that is there"),
        (("embedding", "a", "--plot", "x.png"), "pass two inputs at least"),
        (("mood", "", "--plot", "x.png"), "--plot draws 1 to 16 answers, got 0"),
    ],
)
def test_wrong_use_is_one_line(
    run: Run, arguments: tuple[str, ...], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_matplotlib_is_one_line_with_the_mend(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("mood", "a", "--plot", "x.png")
    assert result.exit_code == 2
    assert "--plot needs matplotlib: pip install 'triton-maas[plot]'" in result.stderr


def test_pictures_of_answers(run: Run, tmp_path: Path, picture: Path) -> None:
    (tmp_path / "shares.csv").write_text("0.1\n0.2\n\n0.3\n")
    calls: dict[str, tuple[object, ...]] = {
        "boxes": ("scene", picture, picture),
        "attention": ("mood", "a good day", "$5 or $6 _{", "好"),
        "forecast": ("share", tmp_path / "shares.csv"),
        "likeness": ("embedding", "cat", "a cat", "dog"),
    }
    for name, arguments in calls.items():
        path = tmp_path / f"{name}.png"
        result = run(*arguments, "--plot", path)
        assert result.exit_code == 0, result.output
        assert result.stderr == f"drawn: {path}\n"
        assert is_png(path)
    shown = run("mood", "good", "", "--output", "label", "--output", "score", "--plot", tmp_path / "labels.png")
    assert is_png(tmp_path / "labels.png"), shown.output


def test_boxes_lie_where_the_model_saw_them(run: Run, tmp_path: Path, picture: Path) -> None:
    run("scene", picture, "--plot", tmp_path / "boxes.png")
    drawn = np.asarray(Image.open(tmp_path / "boxes.png").convert("RGB")).astype(int)
    colourful = np.argwhere(np.ptp(drawn, axis=2) > 100)
    is_grey = (drawn == 90).all(axis=2)
    # Single grey pixels are in the letters of the title.
    rows, columns = (np.flatnonzero(is_grey.sum(axis=axis) > 50) for axis in (1, 0))
    top, left, right = rows[0], columns[0], columns[-1]
    scale = (right - left) / 100
    # Boxes reach from 10 to 80 across and to 60 of 80 down.
    assert (colourful[:, 1].min() - left) / scale == pytest.approx(10, abs=2)
    assert (colourful[:, 1].max() - left) / scale == pytest.approx(80, abs=8)  # a label may reach further
    assert (colourful[:, 0].max() - top) / scale == pytest.approx(60, abs=2)
