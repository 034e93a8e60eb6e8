"""Calls of a real Triton, the same over each protocol."""

from __future__ import annotations

import numpy as np
import pytest

from maas_client import Client, InputError, InternalServerError, NotFoundError, UnreachableError


def test_an_array_comes_back_with_the_model_and_version_that_answered(client: Client) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    answer = client.infer("small", x=x)
    np.testing.assert_array_equal(answer["y"], x)
    assert answer["y"].dtype == np.float32
    assert (answer.model_name, answer.model_version) == ("small", 1)
    assert list(answer) == ["y"]
    assert answer.timing.attempts == 1


def test_inputs_may_be_passed_as_a_mapping(client: Client) -> None:
    np.testing.assert_array_equal(client.infer("small", {"x": [[[1, 2, 3]]]})["y"], [[[1, 2, 3]]])


def test_the_answer_is_the_callers_own_memory(client: Client) -> None:
    answer = client.infer("small", x=[[[1, 2, 3]]])["y"]
    answer += 1
    np.testing.assert_array_equal(answer, [[[2, 3, 4]]])
    assert answer.flags.aligned


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "big_endian"])
def test_any_memory_layout_is_sent_as_it_reads(client: Client, layout: str) -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 1, 3)
    given = {
        "fortran": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=2)[:, :, ::2],
        "reversed": x[::-1].copy()[::-1],
        "big_endian": x.astype(">f4"),
    }[layout]
    np.testing.assert_array_equal(client.infer("small", x=given)["y"], x)


@pytest.mark.parametrize("value", ["ünïcode", b"\x00\xff\x00", ""])
def test_one_text_goes_as_it_is(client: Client, value: str | bytes) -> None:
    answer = client.infer("texts", x=value)
    wanted = value.encode() if isinstance(value, str) else value
    assert answer["y"].tolist() == [[wanted]]


def test_texts_in_lists_and_arrays(client: Client) -> None:
    wanted = [[b"a"], [b"b\x00"]]
    assert client.infer("texts", x=[["a"], [b"b\x00"]])["y"].tolist() == wanted
    assert client.infer("texts", x=np.array([["a"], [b"b\x00"]], object))["y"].tolist() == wanted
    assert client.infer("texts", x=np.array([["a"], ["b"]]))["y"].tolist() == [[b"a"], [b"b"]]
    assert client.infer("texts", x="ü").text("y").tolist() == [["ü"]]


def test_a_form_that_was_right_before_is_still_looked_at_for_what_the_model_refuses(client: Client) -> None:
    x = np.ones((1, 1, 3), np.float32)
    client.infer("small", x=x)
    x[0, 0, 1] = np.nan
    with pytest.raises(InputError, match=r"nan at \[0, 0, 1\]"):
        client.infer("small", x=x)
    with pytest.raises(InputError, match="a batch of 5"):
        client.infer("small", x=np.ones((5, 1, 3), np.float32))
    with pytest.raises(InputError, match="float64"):
        client.infer("small", x=np.ones((1, 1, 3)))
    np.testing.assert_array_equal(
        client.infer("small", x=np.arange(6, dtype=np.float32)[::2].reshape(1, 1, 3))["y"], [[[0, 2, 4]]]
    )


def test_only_the_named_outputs_come_back(client: Client) -> None:
    answer = client.infer("pictures", picture="cat", outputs=["score"])
    assert list(answer) == ["score"]


def test_an_optional_input_may_be_left_out(client: Client) -> None:
    answer = client.infer("anything", {"xINT8_1": [1, -2]}, outputs=["yINT8_1"])
    assert answer["yINT8_1"].tolist() == [1, -2]


def test_the_version_asked_for_answers(client: Client) -> None:
    assert client.infer("small", x=[[[1, 2, 3]]], model_version=1).model_version == 1


def test_a_version_that_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError, match="version 9"):
        client.infer("small", x=[[[1, 2, 3]]], model_version=9)


def test_an_unknown_model_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError, match="nosuch"):
        client.infer("nosuch", x=[1])


def test_a_models_own_error_comes_with_its_text(client: Client) -> None:
    with pytest.raises(InternalServerError, match="asked to fail"):
        client.infer("texts", x="fail")
    assert client.infer("texts", x="go on")["y"].tolist() == [[b"go on"]]


@pytest.mark.parametrize("model", ["../x", "a;id", "", " ", "x" * 300, "modèle", "a/b", None, 3])
def test_a_name_that_is_no_models_name_is_not_sent(client: Client, model: str) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        client.infer(model, x=[1])


@pytest.mark.parametrize("version", [0, -1, "abc", "", True, "1.0"])
def test_a_version_is_a_positive_integer(client: Client, version: int | str) -> None:
    if version == "":
        assert client.model_ready("small", model_version=version)
    else:
        with pytest.raises(InputError, match="positive integer"):
            client.infer("small", x=[[[1, 2, 3]]], model_version=version)


def test_readiness(client: Client) -> None:
    assert client.is_live()
    assert client.is_ready()
    assert client.model_ready("small")
    assert client.model_ready("small", model_version=1)
    assert not client.model_ready("small", model_version=2)
    assert not client.model_ready("nosuch")


def test_both_protocols_describe_a_model_alike(urls: dict[str, str]) -> None:
    with Client(urls["http"]) as http, Client(urls["grpc"]) as grpc:
        for model in ("anything", "small", "pictures"):
            assert http.config(model) == grpc.config(model)
            assert http.metadata(model) == grpc.metadata(model)
            assert http.describe(model) == grpc.describe(model)
        assert http.metadata() == grpc.metadata()
        assert http.metadata()["name"] == "triton"


def test_ten_megabytes_go_through(client: Client) -> None:
    x = np.random.default_rng(0).standard_normal(2_500_000).astype(np.float32)
    np.testing.assert_array_equal(client.infer("anything", {"xFP32_1": x}, outputs=["yFP32_1"])["yFP32_1"], x)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "grpc://127.0.0.1:1"])
def test_no_server_is_said_with_its_address(url: str) -> None:
    with Client(url) as client:
        assert not client.is_live()
        with pytest.raises(UnreachableError, match="maas serve") as caught:
            client.infer("small", x=[1])
    assert url in str(caught.value)
