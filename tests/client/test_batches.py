"""Batches larger than the model takes are split when asked, and come back in order; versions are chosen and told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from maas_client import (
    InputError,
    NotFoundError,
    RefusedValueError,
    ShapeMismatchError,
)
from tests.client.scripted import Scripted

Connect = Callable[..., Any]


def test_a_large_batch_is_split_and_joined_in_order(client: Any) -> None:
    x = np.arange(33, dtype=np.float32).reshape(11, 1, 3)
    answer = client.infer("small", x=x, split=True)
    np.testing.assert_array_equal(answer["y"], x)
    assert answer.batch_size == 11
    assert answer.timing.attempts == 3


def test_a_small_batch_is_not_split(client: Any) -> None:
    assert client.infer("small", x=np.zeros((4, 1, 3), np.float32), split=True).timing.attempts == 1


def test_a_large_batch_is_refused_unless_splitting_is_asked_for(client: Any) -> None:
    with pytest.raises(ShapeMismatchError, match="split=True"):
        client.infer("small", x=np.zeros((5, 1, 3), np.float32))


def test_wrong_values_of_a_large_batch_are_refused_before_any_part_is_sent(client: Any) -> None:
    x = np.zeros((9, 1, 3), np.float32)
    x[8] = np.nan
    with pytest.raises(RefusedValueError, match=r"at \[8, 0, 0\]"):
        client.infer("small", x=x, split=True)


def test_texts_are_split_too(client: Any) -> None:
    texts = [[str(number)] for number in range(20)]
    assert client.infer("texts", x=texts, split=True).text("y").tolist() == texts


def test_one_failing_part_fails_the_call(client: Any) -> None:
    texts = [["x"]] * 8 + [["fail"]] + [["x"]] * 8
    with pytest.raises(Exception, match="asked to fail"):
        client.infer("texts", x=texts, split=True)


def test_no_answer_is_made_of_two_versions(scripted: Scripted, connect: Connect) -> None:
    x = np.ones((5, 2), np.float32)
    row = np.ones((1, 2), np.float32)
    scripted.max_batch_size = 1
    scripted.replies = [scripted.good("1"), scripted.good("2"), *[scripted.good("2")] * 8]
    with connect(scripted.url) as client:
        answer = client.infer("m", x=x, split=True)
    assert answer.model_version == 2
    np.testing.assert_array_equal(answer["y"], np.repeat(row, 5, axis=0))
    assert len(scripted.asked) == 10


def test_a_pinned_version_is_the_one_that_is_asked(client: Any) -> None:
    client.pin("small", 9)
    with pytest.raises(NotFoundError, match="version 9"):
        client.infer("small", x=[[[1, 2, 3]]])
    assert client.infer("small", x=[[[1, 2, 3]]], model_version=1).model_version == 1
    client.pin("small", None)
    assert client.infer("small", x=[[[1, 2, 3]]]).model_version == 1


def test_request_id_parameters_and_priority_travel(client: Any) -> None:
    answer = client.infer(
        "small",
        x=[[[1, 2, 3]]],
        request_id="r-1",
        priority=1,
        server_timeout_us=10_000_000,
        parameters={"a": 1, "b": 1.5, "c": True, "d": "text"},
    )
    assert answer.request_id == "r-1"
    assert client.infer("small", x=[[[1, 2, 3]]]).request_id == ""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"parameters": {"priority": 1}}, "Triton's own"),
        ({"parameters": {"triton_x": 1}}, "Triton's own"),
        ({"parameters": {"a": None}}, "got NoneType"),
        ({"parameters": {"a": 2**63}}, "64-bit"),
        ({"priority": -1}, "priority is a non-negative integer"),
        ({"server_timeout_us": 1.5}, "timeout is a non-negative integer"),
    ],
)
def test_parameters_that_triton_would_misread_are_refused(client: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        client.infer("small", x=[[[1, 2, 3]]], **options)
