"""Broken files, odd models and odd names on the command line: one line each, and JSON that any reader takes."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import maas_client
from maas_client import BadAnswerError, Client
from maas_client._bench.load import Aim, measure
from maas_client.bench_cli import bench
from maas_client.predict_cli import predict
from maas_client.testing import FakeTransport

Run = Callable[..., Result]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTransport:
    fake = FakeTransport()
    monkeypatch.setattr(maas_client, "Client", partial(Client, transport=fake))
    return fake


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def rows(result: Result) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: list[dict[str, Any]] = json.loads(result.stdout, parse_constant=refuse)
    return found


def add_numbers(fake: FakeTransport, *, sequence: bool = False, outputs: Any = None) -> None:
    fake.model(
        "m",
        inputs={"x": ("FP32", [-1, 2])},
        outputs=outputs or {"y": ("FP32", [-1, 2])},
        max_batch_size=4,
        sequence=sequence,
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npz", b""),
        ("a.npz", b"\x93NUMPY\x01\x00"),
        ("a.npz", b"PK\x03\x04 and no more"),
        ("a.json", b"[" * 100_000),
        ("a.json", b"\xff"),
    ],
)
def test_a_broken_file_is_told_and_the_others_are_answered(
    fake: FakeTransport, tmp_path: Path, name: str, content: bytes
) -> None:
    add_numbers(fake)
    fake.answer("m", {"y": [[1, float("nan")]]})
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.json").write_text("[[1, 2]]")
    result = run(predict, "m", tmp_path / name, tmp_path / "good.json", "--json")
    assert result.exit_code == 1, result.output
    bad, good = rows(result)
    assert "no readable" in bad["error"]
    assert "\n" not in bad["error"]
    assert good["outputs"] == {"y": [[1, None]]}


def test_an_archive_that_was_cut_is_told(fake: FakeTransport, tmp_path: Path) -> None:
    add_numbers(fake)
    np.savez(tmp_path / "a.npz", x=np.ones((1, 2), np.float32))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[60:150] = bytes(90)
    (tmp_path / "a.npz").write_bytes(data)
    (row,) = rows(run(predict, "m", tmp_path / "a.npz", "--json"))
    assert "no readable .npz" in row["error"]


@pytest.mark.parametrize("content", ["3", "{}", '{"x": []}'])
def test_a_sequence_of_no_steps_is_told(fake: FakeTransport, tmp_path: Path, content: str) -> None:
    add_numbers(fake, sequence=True)
    (tmp_path / "a.json").write_text(content)
    (row,) = rows(run(predict, "m", tmp_path / "a.json", "--json"))
    assert "same number of steps" in row["error"]


def test_inputs_of_unequal_lengths_are_refused(fake: FakeTransport, tmp_path: Path) -> None:
    tensor = ("FP32", [-1, 1])
    fake.model("m", inputs={"a": tensor, "b": tensor}, outputs={"y": tensor}, max_batch_size=1, sequence=True)
    (tmp_path / "a.json").write_text('{"a": [[1], [2]], "b": [[1]]}')
    (row,) = rows(run(predict, "m", tmp_path / "a.json", "--json"))
    assert "2 of 'a', 1 of 'b'" in row["error"]
    assert fake.calls == []


def test_a_missing_observation_of_a_number_is_told_with_its_line(fake: FakeTransport, tmp_path: Path) -> None:
    fake.model("m", inputs={"x": ("FP32", [1])}, outputs={"y": ("FP32", [1])}, sequence=True)
    (tmp_path / "a.csv").write_text("1\n\n2\n")
    (row,) = rows(run(predict, "m", tmp_path / "a.csv", "--json"))
    assert "line 2 is empty, a missing observation" in row["error"]


def classifier(fake: FakeTransport, **more: Any) -> None:
    outputs = {"label": ("BYTES", [-1, -1]), "score": ("FP32", [-1, -1]), **more}
    fake.model("m", inputs={"text": ("BYTES", [-1, 1])}, outputs=outputs, max_batch_size=4)


def test_no_label_is_an_error_of_its_own(fake: FakeTransport) -> None:
    classifier(fake)
    fake.answer("m", {"label": np.empty((1, 0), object), "score": np.empty((1, 0))})
    (row,) = rows(run(predict, "m", "hello", "--json"))
    assert row["error"] == "the model gave no label"
    with Client("http://anywhere", transport=fake) as client:
        assert client.predict("m", ["hello"])[0].error == "the model gave no label"


def test_a_sentence_that_ends_with_a_file_name_is_a_text(fake: FakeTransport) -> None:
    classifier(fake)
    fake.answer("m", {"label": [["glad"]], "score": [[1]]})
    (row,) = rows(run(predict, "m", "look at cat.png", "--json"))
    assert (row["input"], row["label"]) == ("look at cat.png", "glad")
    assert run(predict, "m", "cat.png").exit_code == 2


def test_a_batch_of_detections_has_a_row_for_each_picture(fake: FakeTransport, tmp_path: Path) -> None:
    classifier(fake, boxes=("FP32", [-1, -1, 4]))
    fake.answer("m", {"label": [["a"], ["b"]], "score": [[1], [0.5]], "boxes": [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]})
    (tmp_path / "a.json").write_text('[["x"], ["y"]]')
    first, second = rows(run(predict, "m", tmp_path / "a.json", "--json"))
    assert [one["label"] for one in first["objects"]] == ["a"]
    assert second["objects"] == [{"label": "b", "score": 0.5, "box": [5, 6, 7, 8]}]


def test_numbers_called_error_are_an_output_like_any_other(fake: FakeTransport, tmp_path: Path) -> None:
    add_numbers(fake, outputs={"error": ("FP32", [-1, 1])})
    fake.answer("m", {"error": [[0.25]]})
    (tmp_path / "a.json").write_text("[[1, 2]]")
    result = run(predict, "m", tmp_path / "a.json", "--json")
    assert result.exit_code == 0, result.output
    assert rows(result)[0]["outputs"] == {"error": [[0.25]]}


def test_an_answer_that_is_no_protocol_is_exit_code_1(fake: FakeTransport) -> None:
    add_numbers(fake)
    fake.fail("m", BadAnswerError("nonsense"))
    assert run(bench, "m").exit_code == 1


def test_a_name_that_is_no_utf_8_is_shown(fake: FakeTransport, tmp_path: Path) -> None:
    classifier(fake)
    fake.answer("m", {"label": [["glad"]], "score": [[1]]})
    name = os.fsencode(tmp_path) + b"/\xff.txt"
    Path(os.fsdecode(name)).write_text("hello")
    for as_json in ((), ("--json",)):
        result = CliRunner().invoke(predict, ["m", os.fsdecode(name), *as_json])
        assert result.exit_code == 0, result.output
        assert "\ufffd.txt" in result.stdout


def test_samples_are_the_rows_that_were_sent(fake: FakeTransport, tmp_path: Path) -> None:
    add_numbers(fake)
    fake.answer("m", lambda call: {"y": call.inputs["x"]}, delay_s=0.001)
    (tmp_path / "a.json").write_text("[[1, 2], [3, 4], [5, 6]]")
    short = ("--seconds", 0.1, "--warmup", 0, "--concurrency", 1)
    found: Any = rows(run(bench, "m", tmp_path / "a.json", *short, "--json"))
    assert found["at_one"]["samples_per_s"] == pytest.approx(3 * found["at_one"]["requests_per_s"])


def test_a_negative_seed_is_refused(fake: FakeTransport) -> None:
    add_numbers(fake)
    result = run(bench, "m", "--seed", -1)
    assert result.exit_code == 2
    assert "--seed" in result.stderr


def test_ctrl_c_ends_a_measurement_while_it_warms_up(fake: FakeTransport) -> None:
    add_numbers(fake)
    fake.answer("m", {"y": [[1, 2]]}, delay_s=0.01)
    with Client("http://anywhere", transport=fake) as client:
        aim = Aim(client.describe("m"), [{"x": [[1, 2]]}])

        def measure_until_ctrl_c() -> None:
            # Started outside of pytest.raises, a signal that comes too early would end all tests of this process.
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            measure(client, aim, 2, warmup_s=600, seconds=600)

        with pytest.raises(KeyboardInterrupt):
            measure_until_ctrl_c()
