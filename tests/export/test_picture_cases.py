"""Labelled pictures of the user, and what served answers to them are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maas_core.errors import WrongUse
from maas_export.models.digits import Digits
from maas_export.models.photo import Photo
from maas_export.models.scene import DigitScene
from maas_export.picture_inputs import labelled_pictures, png_bytes

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PNG = png_bytes(np.zeros((8, 8), np.uint8))


def test_the_examples_are_labelled_by_their_names() -> None:
    cases = Digits().cases(EXAMPLES / "digits", 0)
    assert [case.wanted for case in cases] == [str(digit) for digit in range(10)]
    assert cases[3].shown == "3_thick_marker.png"
    assert {case.wanted for case in Photo().cases(EXAMPLES / "photo", 0)} >= {"cat", "coffee", "coins"}


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.jpg", "b/3.PNG", "b/notes.txt", ".hidden/4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    found = [(path.name, label) for path, label in labelled_pictures(tmp_path, ["a", "b"])]
    assert found == [("1.png", "a"), ("2.jpg", "b"), ("3.PNG", "b")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x_1.png", "there is no class 'x'"),
        ("x/1.png", "there is no class 'x'"),
        ("notes.txt", "holds no PNG or JPEG file"),
        ("a/notes.txt", "a holds no PNG or JPEG file"),
    ],
)
def test_a_label_that_is_none_is_told_with_its_file(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(PNG)
    with pytest.raises(WrongUse, match=reason):
        labelled_pictures(tmp_path, ["a", "b"])


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="is not a folder"):
        labelled_pictures(tmp_path / "nothing")


@pytest.mark.parametrize(("model", "count"), [(Digits(), 360), (Photo(), 2000), (DigitScene(), 400)])
def test_the_built_in_cases_are_the_held_out_part_as_pictures(model: Any, count: int) -> None:
    cases = model.cases(None, 0)
    assert len(cases) == count
    assert len({case.shown for case in cases}) == count
    assert cases[0].inputs["picture"].shape == (1, 1)
    assert bytes(cases[0].inputs["picture"][0, 0]).startswith(b"\x89PNG")


def found(boxes: list[list[float]], labels: str) -> dict[str, Any]:
    count = len(boxes)
    answer = {
        "boxes": np.zeros((1, 16, 4), np.float32),
        "label": np.full((1, 16), b"", dtype=np.object_),
        "score": np.zeros((1, 16), np.float32),
        "count": np.array([[count]], np.int32),
    }
    answer["boxes"][0, :count] = boxes
    answer["label"][0, :count] = [label.encode() for label in labels]
    answer["score"][0, :count] = np.linspace(0.9, 0.5, count)
    return answer


def test_boxes_as_served_are_judged_scene_by_scene() -> None:
    cases = DigitScene().cases(EXAMPLES / "scene", 0)
    listed = json.loads((EXAMPLES / "scene" / "boxes.json").read_text())
    right = [
        found([entry["box"] for entry in listed[case.shown]], "".join(entry["label"] for entry in listed[case.shown]))
        for case in cases
    ]
    evaluation, verdicts = DigitScene().judge(cases, right)
    assert evaluation.value == pytest.approx(1.0)
    assert [verdict.badness for verdict in verdicts] == [0.0] * len(cases)
    missed = len(listed[cases[0].shown])
    evaluation, verdicts = DigitScene().judge(cases, ["the server is tired", *right[1:]])
    assert evaluation.value < 1
    assert verdicts[0].badness == missed
    assert verdicts[0].got == "the server is tired"
    wrong = found([entry["box"] for entry in listed[cases[0].shown]], "7" * missed)
    sevens = sum(entry["label"] == "7" for entry in listed[cases[0].shown])
    assert DigitScene().judge(cases, [wrong, *right[1:]])[1][0].badness == 2 * (missed - sevens)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "names no picture"),
        ('{"b.png": []}', "names b.png, which is not there"),
        ('{"a.png": {}}', "a.png has no list of boxes"),
        ('{"a.png": [{"label": "x", "box": [0, 0, 9, 9]}]}', "box 0: there is no class 'x'"),
        ('{"a.png": [{"label": "3", "box": [0, 0, 9]}]}', r"box 0 is \[0, 0, 9\]"),
        ('{"a.png": [{"label": "3", "box": [9, 0, 9, 9]}]}', "box 0 is"),
        ('{"a.png": ["3"]}', "box 0: there is no class None"),
    ],
)
def test_boxes_that_are_wrong_are_told_by_file_and_place(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(WrongUse, match=reason):
        DigitScene().cases(tmp_path, 0)
    with pytest.raises(WrongUse, match="cannot be read"):
        DigitScene().cases(tmp_path / "nothing", 0)
