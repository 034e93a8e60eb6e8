"""The sender over gRPC against real servers of grpcio: answers, streams, large messages, failures, reconnection."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import gevent
import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from maas_client import ModelSpec, TensorSpec
from maas_client._url import Endpoint
from maas_core.golden import Sample
from maas_core.ports import LOOPBACK, PortHold
from maas_loadtest.encoding import Encoder
from maas_loadtest.prepared import Prepared
from maas_loadtest.senders_grpc import GrpcSender
from maas_loadtest.sending import SendFailed
from tests.client.scripted import Certificates
from tests.loadtest.grpc_servers import grpc_server, wait_until_lost

LARGE_BYTES = 5 << 20
ONE = pb.ModelInferResponse(model_name="m", model_version="1")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


def unary(endpoint: Endpoint) -> Prepared:
    x = TensorSpec("x", "FP32", (-1, 2))
    sample = Sample("one", {"x": np.ones((3, 2), np.float32)}, {"y": np.zeros((3, 2), np.float32)})
    return Encoder(ModelSpec("m", (7,), {"x": x}, {"y": x}, 4), "", endpoint, ()).prepare(sample, {}, "7")


@contextmanager
def sending(endpoint: Endpoint, timeout_s: float = 10, **headers: str) -> Iterator[GrpcSender]:
    sender = GrpcSender(endpoint, timeout_s, tuple((name.replace("_", "-"), text) for name, text in headers.items()))
    try:
        yield sender
    finally:
        sender.close()


def failure_of(sender: GrpcSender, one: Prepared) -> SendFailed:
    with pytest.raises(SendFailed) as failure:
        sender.send(one, one.wires[0])
    return failure.value


class TestAnswers:
    @pytest.mark.parametrize("model", ["m", "a" * 300], ids=["short", "long"])
    def test_an_answer_and_its_version(self, model: str) -> None:
        def answer(request: Any, context: Any) -> Any:
            return pb.ModelInferResponse(model_name=model, model_version="12", id=request.model_name)

        with grpc_server(answer) as endpoint, sending(endpoint) as sender:
            one = unary(endpoint)
            reply = sender.send(one, one.wires[0])
        assert reply.version == "12"
        assert pb.ModelInferResponse.FromString(reply.body).id == "m"

    def test_headers_and_deadline_go_with_each_call(self) -> None:
        seen: list[Any] = []

        def answer(_: Any, context: Any) -> Any:
            seen.append((dict(context.invocation_metadata()), context.time_remaining()))
            return ONE

        with (
            grpc_server(answer) as endpoint,
            sending(endpoint, 9, x_api_key="secret", trace_bin="a\u00fff") as sender,
        ):
            one = unary(endpoint)
            for _ in range(2):
                sender.send(one, one.wires[0])
        for metadata, left_s in seen:
            assert metadata["x-api-key"] == "secret"
            assert metadata["trace-bin"] == "a\u00fff".encode()
            assert 0 < left_s <= 9.1
        assert len(seen) == 2

    def test_headers_that_need_several_frames(self) -> None:
        limit = (("grpc.max_metadata_size", 1 << 17), ("grpc.absolute_max_metadata_size", 1 << 17))
        long = "k" * 40_000

        def answer(_: Any, context: Any) -> Any:
            return pb.ModelInferResponse(model_version=str(dict(context.invocation_metadata())["x-long"] == long))

        with grpc_server(answer, options=limit) as endpoint, sending(endpoint, x_long=long) as sender:
            one = unary(endpoint)
            assert sender.send(one, one.wires[0]).version == "True"

    @pytest.mark.parametrize("which", ["request", "answer"])
    def test_messages_beyond_each_window(self, which: str) -> None:
        large = np.random.default_rng(1).bytes(LARGE_BYTES)

        def answer(request: Any, _: Any) -> Any:
            was_whole = which == "answer" or request.raw_input_contents[0] == large
            body = large if which == "answer" else b""
            return pb.ModelInferResponse(model_version="1", id=str(was_whole), raw_output_contents=[body])

        with grpc_server(answer) as endpoint, sending(endpoint) as sender:
            wire = b"" if which == "answer" else pb.ModelInferRequest(raw_input_contents=[large]).SerializeToString()
            for _ in range(3):
                found = pb.ModelInferResponse.FromString(sender.send(unary(endpoint), wire).body)
                assert found.id == "True"
                assert which == "request" or found.raw_output_contents[0] == large

    def test_many_calls_at_a_time_over_one_connection(self) -> None:
        callers = 64
        together = threading.Barrier(callers)
        peers = set()

        def answer(request: Any, context: Any) -> Any:
            peers.add(context.peer())
            together.wait(20)
            return pb.ModelInferResponse(model_version="1", id=request.id)

        with grpc_server(answer, threads=callers) as endpoint, sending(endpoint, 30) as sender:
            one = unary(endpoint)
            wires = [pb.ModelInferRequest(id=str(number)).SerializeToString() for number in range(callers)]
            jobs = [gevent.spawn(sender.send, one, wire) for wire in wires]
            gevent.joinall(jobs, raise_error=True)
        assert [pb.ModelInferResponse.FromString(job.value.body).id for job in jobs] == list(map(str, range(callers)))
        assert len(peers) == 1

    def test_no_more_calls_than_the_server_takes(self) -> None:
        """One of grpcio refuses what is beyond its limit."""
        with (
            grpc_server(lambda *_: ONE, options=(("grpc.max_concurrent_streams", 2),)) as endpoint,
            sending(endpoint) as sender,
        ):
            one = unary(endpoint)
            jobs = [gevent.spawn(sender.send, one, one.wires[0]) for _ in range(20)]
            gevent.joinall(jobs, raise_error=True)
        assert {job.value.version for job in jobs} == {"1"}

    def test_over_tls_with_the_trusted_roots(self, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
        pair = (certificates.server_key.read_bytes(), certificates.server.read_bytes())
        with grpc_server(lambda *_: ONE, credentials=grpc.ssl_server_credentials([pair])) as endpoint:
            one = unary(endpoint)
            monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(certificates.ca))
            with sending(endpoint) as sender:
                assert sender.send(one, one.wires[0]).version == "1"
            monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
            with sending(endpoint) as sender:
                failure = failure_of(sender, one)
        assert failure.kind == "unreachable"


class TestStreams:
    def test_the_request_side_is_closed_after_the_last_answer(self) -> None:
        was_closed: list[bool] = []

        def stream(requests: Iterator[Any], _: Any) -> Iterator[Any]:
            next(requests)
            closed = threading.Event()

            def wait() -> None:
                assert not list(requests)
                closed.set()

            threading.Thread(target=wait).start()
            for text in ("a", "b"):
                yield _part(text)
                was_closed.append(closed.wait(0.05))
            yield _part("", is_final=True)
            was_closed.append(closed.wait(20))

        with grpc_server(stream, stream) as endpoint, sending(endpoint) as sender:
            one = replace(unary(endpoint), kind="stream")
            began_ns = time.monotonic_ns()
            reply = sender.send(one, one.wires[0])
        assert was_closed == [False, False, True]
        found = [pb.ModelStreamInferResponse.FromString(part).infer_response.id for part in reply.parts]
        assert (found, reply.version) == (["a", "b"], "3")
        assert began_ns < reply.parts_ns[0] < reply.parts_ns[1] < time.monotonic_ns()

    def test_an_error_in_a_stream(self) -> None:
        ended = threading.Event()

        def stream(requests: Iterator[Any], context: Any) -> Iterator[Any]:
            next(requests)
            yield pb.ModelStreamInferResponse(error_message="no such word")
            # The stream is closed, not cancelled.
            assert not list(requests)
            ended.set()

        with grpc_server(stream, stream) as endpoint, sending(endpoint) as sender:
            failure = failure_of(sender, replace(unary(endpoint), kind="stream"))
            gevent.sleep(0)
            while not ended.wait(0):
                gevent.sleep(0.01)
        assert (failure.kind, failure.message) == ("status", "no such word")

    def test_a_stream_that_goes_quiet(self) -> None:
        given_up = threading.Event()

        def stream(_: Iterator[Any], context: Any) -> Iterator[Any]:
            context.add_callback(given_up.set)
            yield _part("a")
            given_up.wait(20)

        with grpc_server(stream, stream) as endpoint, sending(endpoint, 0.4) as sender:
            failure = failure_of(sender, replace(unary(endpoint), kind="stream"))
        assert (failure.kind, failure.message) == ("timeout", "no answer within 0.4 s")

    def test_a_status_at_the_end_of_a_stream(self) -> None:
        def stream(_: Iterator[Any], context: Any) -> Iterator[Any]:
            yield _part("a")
            context.abort(grpc.StatusCode.DATA_LOSS, "gone")

        with grpc_server(stream, stream) as endpoint, sending(endpoint) as sender:
            assert failure_of(sender, replace(unary(endpoint), kind="stream")).message == "DATA_LOSS: gone"


def _part(text: str, *, is_final: bool = False) -> Any:
    response = pb.ModelInferResponse(model_version="3", id=text, outputs=[] if is_final else [{"name": "y"}])
    response.parameters["triton_final_response"].bool_param = is_final
    return pb.ModelStreamInferResponse(infer_response=response)


class TestFailures:
    @pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE])
    def test_the_servers_status_is_told(self, code: grpc.StatusCode) -> None:
        def answer(_: Any, context: Any) -> Any:
            context.abort(code, "kein Gefäß: 100 %")

        with grpc_server(answer) as endpoint, sending(endpoint) as sender:
            failure = failure_of(sender, unary(endpoint))
        assert (failure.kind, failure.message) == ("status", f"{code.name}: kein Gefäß: 100 %")

    def test_no_time_left(self) -> None:
        given_up = threading.Event()

        def answer(_: Any, context: Any) -> Any:
            context.add_callback(given_up.set)
            given_up.wait(20)
            return ONE

        with grpc_server(answer) as endpoint, sending(endpoint, 3) as sender:
            failure = failure_of(sender, unary(endpoint))
            assert given_up.wait(20)
        assert (failure.kind, failure.message) == ("timeout", "no answer within 3 s")

    def test_nobody_there_and_somebody_later(self) -> None:
        hold = PortHold({"grpc": 0})
        endpoint = Endpoint("grpc", LOOPBACK, hold.ports["grpc"])
        one = unary(endpoint)
        with ExitStack() as held, sending(endpoint) as sender:
            held.callback(hold.release)
            failures = [failure_of(sender, one) for _ in range(2)]
            with grpc_server(lambda *_: ONE, port=endpoint.port):
                assert sender.send(one, one.wires[0]).version == "1"
            wait_until_lost(sender)
            # The connection that is gone is noticed, and a new one is made.
            with grpc_server(lambda *_: ONE, port=endpoint.port):
                assert sender.send(one, one.wires[0]).version == "1"
        assert [failure.kind for failure in failures] == ["unreachable", "unreachable"]
        assert all(failure.message.startswith("no connection") for failure in failures)

    def test_one_who_is_killed_leaves_the_others_alone(self) -> None:
        goes_on = threading.Event()

        def answer(request: Any, _: Any) -> Any:
            goes_on.wait(20)
            return pb.ModelInferResponse(model_version="1", id=request.id)

        with grpc_server(answer) as endpoint, sending(endpoint) as sender:
            one = unary(endpoint)
            large = pb.ModelInferRequest(raw_input_contents=[bytes(LARGE_BYTES)]).SerializeToString()
            jobs = [gevent.spawn(sender.send, one, wire) for wire in (large, one.wires[0])]
            gevent.sleep(0.05)
            jobs[0].kill()
            goes_on.set()
            assert jobs[1].get().version == "1"
            assert sender.send(one, one.wires[0]).version == "1"
