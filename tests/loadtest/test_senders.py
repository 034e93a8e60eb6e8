"""Senders: what a server does wrong has a name, and a connection with half an answer in it is never used again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from maas_client import ModelSpec, TensorSpec
from maas_client._url import Endpoint
from maas_core.golden import Sample
from maas_loadtest.encoding import Encoder
from maas_loadtest.prepared import Prepared, from_message, to_message, varint
from maas_loadtest.senders_http import HttpSender
from maas_loadtest.sending import SendFailed

BODY = b'{"model_name":"m","model_version":"7","outputs":[]}'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
SPEC = ModelSpec(
    name="m",
    versions=(7,),
    inputs={"x": TensorSpec("x", "FP32", (-1, 2))},
    outputs={"y": TensorSpec("y", "FP32", (-1, 2))},
    max_batch_size=4,
    sequence=True,
)
STATELESS = ModelSpec("m", (7,), SPEC.inputs, SPEC.outputs, 4)


def prepared(endpoint: Endpoint, spec: ModelSpec = STATELESS, headers: tuple[tuple[str, str], ...] = ()) -> Prepared:
    sample = Sample("one", {"x": np.ones((3, 2), np.float32)}, {"y": np.zeros((3, 2), np.float32)})
    return Encoder(spec, "", endpoint, headers).prepare(sample, {"FP32": (0.1, 0.2)}, "7")


@contextmanager
def http_server(*answers: bytes, stays_open: bool = True) -> Iterator[tuple[Endpoint, list[bytes]]]:
    """Gives one answer to each request of a connection and then closes it, or says nothing more."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            rest = list(answers)
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    while rest and (request := connection.recv(1 << 16)):
                        seen.append(request)
                        connection.sendall(rest.pop(0))
                        if not stays_open:
                            break
                    while stays_open and connection.recv(1 << 16):
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield Endpoint("http", "127.0.0.1", listener.getsockname()[1]), seen
        listener.shutdown(socket.SHUT_RDWR)


class TestHttp:
    def test_an_answer_and_its_version(self) -> None:
        with http_server(GOOD) as (endpoint, _):
            one = prepared(endpoint)
            reply = HttpSender(endpoint, 5).send(one, one.wires[0])
        assert (reply.body, reply.version) == (BODY, "7")

    def test_a_connection_is_kept(self) -> None:
        with http_server(GOOD, GOOD, GOOD) as (endpoint, seen):
            one, sender = prepared(endpoint), HttpSender(endpoint, 5)
            for _ in range(3):
                sender.send(one, one.wires[0])
            assert len(seen) == 3

    @pytest.mark.parametrize(
        ("answer", "kind", "message"),
        [
            (b'HTTP/1.1 503 Busy\r\nContent-Length: 15\r\n\r\n{"error":"full"}'[:-1] + b"}", "status", "503"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "protocol", "Content-Length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", "connection", "before the whole answer"),
            (b"not http at all\r\nContent-Length: 0\r\n\r\n", "protocol", "invalid literal"),
        ],
    )
    def test_a_bad_answer_has_a_kind(self, answer: bytes, kind: str, message: str) -> None:
        with http_server(answer, stays_open=False) as (endpoint, _):
            one = prepared(endpoint)
            with pytest.raises(SendFailed, match=message) as failure:
                HttpSender(endpoint, 5).send(one, one.wires[0])
        assert failure.value.kind == kind

    def test_silence_is_a_timeout_and_its_connection_is_given_up(self) -> None:
        with http_server() as (endpoint, _):
            one = prepared(endpoint)
            with pytest.raises(SendFailed, match=r"no answer within 0\.2 s") as failure:
                HttpSender(endpoint, 0.2).send(one, one.wires[0])
        assert failure.value.kind == "timeout"

    def test_nobody_there(self) -> None:
        endpoint = Endpoint("http", "127.0.0.1", 1)
        one = prepared(endpoint)
        with pytest.raises(SendFailed) as failure:
            HttpSender(endpoint, 1).send(one, one.wires[0])
        assert failure.value.kind == "unreachable"

    def test_the_key_goes_with_each_request(self) -> None:
        with http_server(GOOD) as (endpoint, seen):
            one = prepared(endpoint, headers=(("X-API-Key", "secret"),))
            HttpSender(endpoint, 5).send(one, one.wires[0])
        assert b"X-API-Key: secret\r\n" in seen[0]


class TestPrepared:
    @pytest.mark.parametrize("scheme", ["http", "grpc"])
    def test_each_sequence_has_an_id_of_its_own_in_all_its_steps(self, scheme: str) -> None:
        one = prepared(Endpoint(scheme, "127.0.0.1", 1), SPEC)
        assert one.items == len(one.wires) == 3
        ids = set()
        for _ in range(5):
            new = one.with_new_id(is_grpc=scheme == "grpc")
            assert [len(wire) for wire in new.wires] == [len(wire) for wire in one.wires]
            if scheme == "grpc":
                found = {
                    pb.ModelInferRequest.FromString(wire).parameters["sequence_id"].int64_param for wire in new.wires
                }
            else:
                found = {int(wire.partition(b'"sequence_id":')[2].partition(b",")[0]) for wire in new.wires}
            assert len(found) == 1
            ids |= found
        assert len(ids) == 5

    def test_only_the_first_step_starts_and_only_the_last_one_ends(self) -> None:
        one = prepared(Endpoint("grpc", "127.0.0.1", 1), SPEC)
        flags = [pb.ModelInferRequest.FromString(wire).parameters for wire in one.wires]
        assert [flag["sequence_start"].bool_param for flag in flags] == [True, False, False]
        assert [flag["sequence_end"].bool_param for flag in flags] == [False, False, True]

    def test_they_reach_the_workers_whole(self) -> None:
        one = prepared(Endpoint("http", "127.0.0.1", 1))
        other = from_message(to_message(one))
        assert other.wires == one.wires
        assert other.expected[0]["y"].tolist() == one.expected[0]["y"].tolist()
        assert other.tolerances == {"FP32": (0.1, 0.2)}
        assert other.expected_version == "7"

    def test_texts_reach_them_too(self) -> None:
        texts = np.array([[b"a"], ["ß".encode()]], np.object_)
        one = Prepared("m", "", "infer", (b"",), 2, expected=({"label": texts},))
        assert from_message(to_message(one)).expected[0]["label"].tolist() == texts.tolist()

    @pytest.mark.parametrize(("number", "wanted"), [(1, b"\x01"), (300, b"\xac\x02")])
    def test_varints_are_protobufs(self, number: int, wanted: bytes) -> None:
        assert varint(number) == wanted
