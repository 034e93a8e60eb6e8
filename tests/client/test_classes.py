"""Classification: the best classes of an output, over all four ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maas_client import BadAnswerError, DatatypeMismatchError, RefusedValueError
from tests.client.repository import tensor, write_model
from tests.client.ways import open_client

_MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(pb_utils.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]

    def _answer(self, x):
        return pb_utils.InferenceResponse([pb_utils.Tensor("named", x), pb_utils.Tensor("bare", -x)])
"""


def write_labelled(folder: Path) -> None:
    named = tensor("output", "named", "FP32", "[3]").replace(" }", ' label_filename: "labels.txt" }')
    tensors = tensor("input", "x", "FP32", "[3]") + named + tensor("output", "bare", "FP32", "[3]")
    write_model(folder, "labelled", f"max_batch_size: 4\n{tensors}", _MODEL)
    (folder / "labelled" / "labels.txt").write_text("cat\ndog: big\nbird\n")


@pytest.fixture(scope="module")
def server(module_triton_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("labelled") / "repository"
    write_labelled(folder)
    return module_triton_server(folder)


@pytest.fixture
def client(way: str, server: Any) -> Iterator[Any]:
    protocol = way.removesuffix("-async")
    where = server.http_url if protocol == "http" else server.grpc_url
    with open_client(way, f"{protocol}://{where}", timeout_s=30) as client:
        yield client


X = [[0.25, 0.75, 0.5], [3, 2, 1]]


def test_the_best_classes_come_with_score_place_and_label(client: Any) -> None:
    answer = client.infer("labelled", x=X, class_count=2)
    first, second = answer.classes("named")
    assert [(best.score, best.index, best.label) for best in first] == [(0.75, 1, "dog: big"), (0.5, 2, "bird")]
    assert [best.label for best in second] == ["cat", "dog: big"]
    bare = answer.classes("bare")[1]
    assert [(best.score, best.index, best.label) for best in bare] == [(-1, 2, ""), (-2, 1, "")]


def test_one_output_alone_and_again_without_classes(client: Any) -> None:
    only = client.infer("labelled", x=X, class_count=1, outputs=["bare"])
    assert list(only) == ["bare"]
    assert client.infer("labelled", x=X)["named"].tolist() == X


def test_a_batch_that_is_split_has_its_classes_in_order(client: Any) -> None:
    answer = client.infer("labelled", x=X * 5, class_count=1, split=True)
    assert [row[0].label for row in answer.classes("named")] == ["dog: big", "cat"] * 5


@pytest.mark.parametrize("count", [0, -1, True, 1.5])
def test_a_number_that_makes_no_sense_is_refused(client: Any, count: Any) -> None:
    with pytest.raises(RefusedValueError, match="class_count is a positive integer"):
        client.infer("labelled", x=X, class_count=count)


def test_texts_have_no_best_classes(urls: dict[str, str], way: str) -> None:
    with (
        open_client(way, urls[way.removesuffix("-async")]) as client,
        pytest.raises(DatatypeMismatchError, match="class_count wants outputs of numbers, 'y' is BYTES"),
    ):
        client.infer("texts", x=[["a"]], class_count=1)


def test_values_are_no_classes(client: Any) -> None:
    with pytest.raises(BadAnswerError, match="holds values, not classes"):
        client.infer("labelled", x=X).classes("named")
