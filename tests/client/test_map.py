"""Many single samples: gathered, in order, each with its own answer or error; labels for pictures and texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maas_client import (
    AsyncClient,
    Client,
    DatatypeMismatchError,
    InputError,
    InternalServerError,
    MaasClientError,
    NotFoundError,
    ShapeMismatchError,
)
from tests.client.scripted import Scripted

Connect = Callable[..., Any]


def rows(count: int) -> list[Any]:
    return [np.full((1, 3), number, np.float32) for number in range(count)]


def test_samples_come_back_one_by_one_in_order(client: Any) -> None:
    answers = list(client.map("small", rows(50)))
    assert [answer["y"].tolist() for answer in answers] == [[[number] * 3] for number in range(50)]
    assert {answer.model_version for answer in answers} == {1}


def test_samples_of_a_model_without_a_batch_axis(client: Any) -> None:
    samples = [{"xINT8_1": [number] * number} for number in range(1, 9)]
    answers = list(client.map("anything", samples, outputs=["yINT8_1"]))
    assert [answer["yINT8_1"].tolist() for answer in answers] == [[number] * number for number in range(1, 9)]


def test_a_bad_sample_is_told_in_its_place(client: Any) -> None:
    samples = ["a", "fail", "b", None, "c", 3]
    outcomes = list(client.map("texts", samples, errors="return"))
    assert [outcome.text("y").tolist() for outcome in outcomes[:5:2]] == [["a"], ["b"], ["c"]]
    assert isinstance(outcomes[1], InternalServerError)
    assert isinstance(outcomes[3], InputError)
    assert isinstance(outcomes[5], DatatypeMismatchError)


def test_the_first_bad_sample_ends_it_by_default(client: Any) -> None:
    answers = client.map("small", [*rows(3), np.zeros((1, 4), np.float32), *rows(2)])
    assert [next(answers)["y"].ravel()[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ShapeMismatchError, match="axis 2 must be 3"):
        next(answers)


def test_neighbours_travel_together(scripted: Scripted, connect: Connect) -> None:
    scripted.max_batch_size = 3
    scripted.replies = [scripted.wrong("all at once"), scripted.good()]
    with connect(scripted.url) as client:
        assert len(list(client.map("m", [[1, 1]] * 3, errors="return", concurrency=1))) == 3
    assert len(scripted.asked) == 4


def test_batch_size_one_sends_each_alone(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.good()]
    with connect(scripted.url) as client:
        assert len(list(client.map("m", [[1, 1]] * 5, batch_size=1))) == 5
    assert len(scripted.asked) == 5


def test_no_more_samples_are_taken_than_are_under_way(client: Any) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Any]:
        while True:
            taken.append(1)
            yield np.zeros((1, 3), np.float32)

    answers = client.map("small", endless(), concurrency=2)
    for _ in range(5):
        next(answers)
    answers.close()
    assert len(taken) <= 4 * 6


def test_an_unknown_model_or_output_is_told_before_anything_is_sent(client: Any) -> None:
    with pytest.raises(NotFoundError):
        next(client.map("nosuch", [1]))
    with pytest.raises(InputError, match="no output 'z'"):
        next(client.map("small", rows(1), outputs=["z"]))


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"batch_size": 0}])
def test_numbers_that_make_no_sense_are_refused(client: Any, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        next(client.map("small", rows(1), **options))


def test_pictures_texts_and_files_get_their_labels(client: Any, tmp_path: Path) -> None:
    (tmp_path / "cat.txt").write_text("cat")
    items = [tmp_path / "cat.txt", b"dog", "bird", "bad one", tmp_path / "missing", Image.new("L", (2, 2)), 3]
    cat, dog, bird, bad, missing, picture, number = client.predict("pictures", items)
    assert (cat.label, dog.label, bird.label) == ("cat", "dog", "bird")
    assert cat.score == pytest.approx(0.9)
    assert cat.labels == ("cat", "other")
    assert (cat.model_name, cat.model_version, cat.error) == ("pictures", 1, "")
    assert (bad.label, bad.error) == ("", "not a picture")
    assert "cannot be read" in missing.error
    assert picture.label.startswith("\ufffdPNG")
    assert "got int" in number.error


def test_one_refused_picture_costs_its_neighbours_nothing(client: Any) -> None:
    cat, refused, dog = client.predict("pictures", ["cat", "refuse", "dog"])
    assert (cat.label, dog.label) == ("cat", "dog")
    assert "not a picture" in refused.error


def test_predict_wants_a_classifier(client: Any) -> None:
    with pytest.raises(ShapeMismatchError, match="use infer"):
        client.predict("small", ["a"])


def test_a_bar_is_shown_when_asked_for(urls: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with Client(urls["http"]) as client:
        list(client.map("small", rows(5)))
        assert capsys.readouterr().err == ""
        list(client.map("small", rows(5), progress=True))
    assert "small" in capsys.readouterr().err


def test_leaving_the_loop_early_leaves_the_client_usable(urls: dict[str, str]) -> None:
    async def run() -> Any:
        async with AsyncClient(urls["http"]) as client:
            async for answer in client.map("small", rows(100)):
                assert not isinstance(answer, MaasClientError)
                break
            return await client.infer("small", x=[[[1, 2, 3]]])

    assert asyncio.run(run())["y"].tolist() == [[[1, 2, 3]]]
