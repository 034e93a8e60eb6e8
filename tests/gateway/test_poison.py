"""Bad requests through a real gateway to a real Triton: each is answered as promised, and Triton lives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from maas_client import Client
from tests.gateway.poison_corpus import chunked, document, http, http_cases
from tests.gateway.poison_corpus_grpc import grpc_cases
from tests.gateway.throwaway import Behind, channel_to, code_of, status_of
from tests.waiting import STOOD_STILL_S, longest_standstill

AT_LEAST = 60


@pytest.fixture
def unharmed(behind: Behind) -> Iterator[Behind]:
    """Fails where Triton or Envoy ended, or a stub of Triton, or where Envoy's script failed."""
    # What happened in a test before is not this one's.
    behind.wait_whole()
    processes = [behind.serving.ready["triton_pid"], behind.gateway.ready["envoy_pid"]]
    stubs = {child.pid for child in psutil.Process(processes[0]).children()}
    with longest_standstill() as still_s:
        yield behind
    assert all(psutil.pid_exists(pid) for pid in processes)
    # A stub that Triton took for dead while the machine stood still is replaced, whatever it was asked.
    if still_s[0] < STOOD_STILL_S:
        assert {child.pid for child in psutil.Process(processes[0]).children()} == stubs
        assert behind.serving.events.empty(), behind.serving.events.get_nowait()
    with Client(behind.gateway.url) as client:
        assert client.infer("echo", x=[[1.0, 2.0]])["y"].tolist() == [[1.0, 2.0]]
    assert "admission failed" not in (behind.gateway.state / "envoy.log").read_text()


def test_each_bad_request_over_http_gets_what_is_promised(unharmed: Behind) -> None:
    wrong = []
    count = 0
    for bad in http_cases():
        status = status_of(unharmed.address, bad.wire)
        count += 1
        if status not in bad.statuses:
            wrong.append(f"{bad.name}: {status}, promised {bad.statuses}")
        assert psutil.pid_exists(unharmed.serving.ready["triton_pid"]), f"{bad.name} ended Triton"
    assert not wrong, "\n".join(wrong)
    assert count >= AT_LEAST


def test_each_bad_request_over_grpc_gets_what_is_promised(unharmed: Behind) -> None:
    wrong = []
    with channel_to(unharmed.address) as channel:
        for bad in grpc_cases():
            code = code_of(channel, bad)
            if code not in bad.codes:
                wrong.append(f"{bad.name}: {code}, promised {bad.codes}")
            assert psutil.pid_exists(unharmed.serving.ready["triton_pid"]), f"{bad.name} ended Triton"
    assert not wrong, "\n".join(wrong)


def test_what_was_good_behind_one_id_is_good_behind_another_and_nowhere_else(unharmed: Behind) -> None:
    rest = document()[1:]
    good = [document(), *(f'{{"id":"{name}",{rest}' for name in ("1", "2", "a b"))]
    bad = [rest, f'{{"id":"3",{document()}', *(f'{{"id":"3","id":"{name}",{rest}' for name in ("1", "a b"))]
    assert [status_of(unharmed.address, http(body=text)) for text in good + good] == [200] * 8
    assert [status_of(unharmed.address, http(body=text)) for text in bad] == [400] * 4


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_our_client_works_unchanged(unharmed: Behind, way: str) -> None:
    url = unharmed.gateway.url if way == "http" else unharmed.gateway.grpc
    # 60 MB: all but the largest that is let through.
    array = np.random.default_rng(0).random((8, 1_900_000), np.float32)
    words = [["a", "é"], ["", "\0"]]
    with Client(url) as client:
        np.testing.assert_array_equal(client.infer("echo", x=array)["y"], array)
        answered = client.infer("text", x=words).text("y")
        assert np.asarray(answered).tolist() == words
        with client.sequence("total") as sequence:
            assert [sequence.infer(x=[[value]])["y"].item() for value in (1.0, 2.0, 3.0)] == [1.0, 3.0, 6.0]


def _triton_clients(behind: Behind) -> list[tuple[Any, Any]]:
    import tritonclient.grpc
    import tritonclient.http

    return [
        (module, module.InferenceServerClient(f"{behind.address[0]}:{behind.address[1]}"))
        for module in (tritonclient.http, tritonclient.grpc)
    ]


def test_tritons_own_clients_work_unchanged(unharmed: Behind) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    for module, client in _triton_clients(unharmed):
        entry = module.InferInput("x", list(array.shape), "FP32").set_data_from_numpy(array)
        answer = client.infer("echo", [entry], request_id="7", outputs=[module.InferRequestedOutput("y")])
        np.testing.assert_array_equal(answer.as_numpy("y"), array)
        assert client.is_server_ready()
        assert client.is_model_ready("echo", "1")
        assert client.get_model_config("echo")
        client.close()


def test_json_that_came_in_chunks_of_a_byte_is_put_together(unharmed: Behind) -> None:
    good = document().encode()
    assert status_of(unharmed.address, chunked(good + b" " * 100_000)) == 200


@pytest.mark.parametrize("path", ["generate", "generate_stream"])
def test_generate_works(unharmed: Behind, path: str) -> None:
    import http.client
    import json

    connection = http.client.HTTPConnection(*unharmed.address, timeout=60)
    connection.request("POST", f"/v2/models/text/{path}", json.dumps({"x": "é"}))
    answer = connection.getresponse()
    text = answer.read().decode().removeprefix("data: ")
    assert (answer.status, json.loads(text)["y"]) == (200, "é")
    connection.close()
