"""Servers that lie and callers that err: no answer of another request, no endless memory, no raw exception."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from maas_client import (
    BadAnswerError,
    Breaker,
    CallCancelledError,
    CircuitOpenError,
    Client,
    ConnectionLostError,
    DatatypeMismatchError,
    DeadlineExceededError,
    InputError,
    NameMismatchError,
    TooLargeError,
    UnavailableError,
)
from maas_client._calls import InferCall, LiveCall, RequestForm
from maas_client._deadline import Deadline
from maas_client._http_wire import HttpWire
from maas_client._options import Options
from maas_client._url import Endpoint
from maas_client.testing import FakeTransport
from tests.client.scripted import ONES, Scripted, http, http_infer, scripted_http
from tests.waiting import wait_until

Connect = Callable[..., Any]
X = [[1.0, 2.0]]


@pytest.mark.parametrize("way", ["http", "http-async"])
@pytest.mark.parametrize("pause_s", [0.0, 0.1])
def test_an_answer_that_nobody_asked_for_is_given_to_nobody(
    scripted: Scripted, connect: Connect, pause_s: float
) -> None:
    scripted.leftover = http_infer((ONES * 9).tobytes())
    scripted.replies = [scripted.good()]
    with connect(scripted.url) as client:
        for _ in range(3):
            assert client.infer("m", x=X)["y"].tolist() == [[1, 1]]
            time.sleep(pause_s)


_DEEP = b"[" * 100_000 + b"]" * 100_000
LIES = [
    ("a body of 10^17 bytes", b"HTTP/1.1 200 OK\r\nContent-Length: 1%s\r\n\r\n" % (b"0" * 17), "body of more than"),
    ("a body of 10^400 bytes", b"HTTP/1.1 200 OK\r\nContent-Length: 1%s\r\n\r\n" % (b"0" * 400), "body of more than"),
    ("a chunk of 16^30", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1%s\r\n" % (b"0" * 30), "body of more"),
    ("infinite shape", http_infer().replace(b"[1, 2]", b"[1e999]"), "."),
    ("huge number", http_infer(data=b"").replace(b"[1, 2]", b"[0, 1%s]" % (b"0" * 30)), "."),
    ("infinite size", http_infer().replace(b'"binary_data_size": 8', b'"binary_data_size": 1e999'), "."),
    ("deep JSON", http(_DEEP), "JSON"),
]


def _whole(reply: bytes) -> bytes:
    """The reply with the lengths that its changed text needs."""
    head, _, body = reply.partition(b"\r\n\r\n")
    if b"Inference-Header" not in head:
        return reply
    end = body.rindex(b"}") + 1
    return http(body, Inference_Header_Content_Length=str(end))


@pytest.mark.parametrize("way", ["http", "http-async"])
@pytest.mark.parametrize(("reply", "text"), [row[1:] for row in LIES], ids=[row[0] for row in LIES])
def test_a_server_that_lies_is_told_so(scripted: Scripted, connect: Connect, reply: bytes, text: str) -> None:
    scripted.replies = [_whole(reply), scripted.good()]
    with connect(scripted.url, retry=None, timeout_s=5) as client:
        with pytest.raises(BadAnswerError, match=text) as caught:
            client.infer("m", x=X)
        assert "\n" not in str(caught.value)
        assert client.infer("m", x=X)["y"].tolist() == [[1, 1]]


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_an_error_of_deep_json_is_still_an_error(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [http(_DEEP, 503)]
    with connect(scripted.url, retry=None) as client, pytest.raises(UnavailableError, match=r"answered 503: \[\["):
        client.infer("m", x=X)


@contextmanager
def _refusing_early() -> Iterator[Endpoint]:
    """Answers 413 after the first bytes of a request, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(http(b"", 413))

        thread = threading.Thread(target=refuse)
        thread.start()
        yield Endpoint("http", "127.0.0.1", listener.getsockname()[1])
        thread.join(5)


def test_a_refusal_in_the_middle_of_a_request_is_told() -> None:
    with _refusing_early() as endpoint:
        wire = HttpWire(endpoint, Options())
        form = RequestForm("m", "", (("x", "UINT8", (2**26,)),))
        with pytest.raises(TooLargeError):
            wire.exchange(InferCall(form, (bytes(2**26),)), Deadline(10))
        wire.close()


def test_a_deadline_that_passed_before_the_connection_is_told_as_one() -> None:
    deadline = Deadline(0.01)
    time.sleep(0.02)
    with pytest.raises(DeadlineExceededError):
        HttpWire(Endpoint("http", "127.0.0.1", 1), Options()).exchange(LiveCall(), deadline)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X": 1}},
        {"headers": {1: "x"}},
        {"headers": ["x"]},
        {"api_key": 7},
        {"hedge_after_s": float("inf")},
        {"hedge_after_s": "0.2"},
        {"timeout_s": 1e10},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Client("http://127.0.0.1:1", **options)


@pytest.mark.parametrize("call", [lambda client: client.infer(["m"]), lambda client: client.infer("m", [1, 2])])
def test_a_call_that_makes_no_sense_is_refused(call: Callable[[Any], Any]) -> None:
    with Client("http://127.0.0.1:1", transport=FakeTransport()) as client, pytest.raises(NameMismatchError):
        call(client)


def test_numbers_are_no_text(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.good()]
    with connect(scripted.url) as client, pytest.raises(DatatypeMismatchError, match="holds float32, not text"):
        client.infer("m", x=X).text("y")


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret@x:port",
        "ftp://user:s3cret@x",
        "user:s3cret@x:8000",
        "http://x/?token=s3cret",
        "http://user:s3/s3cret@x",
        "http://user:p@s3cret@x:port",
        "ftp://x#s3cret",
    ],
)
def test_what_a_url_keeps_secret_is_in_no_message(url: str) -> None:
    with pytest.raises(InputError, match="looks like") as caught:
        Client(url)
    assert "s3" not in str(caught.value)


def test_a_server_that_hangs_is_left_alone(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = ["stall"]
    with connect(scripted.url, retry=None, breaker=Breaker(failures=2, open_s=60)) as client:
        client.describe("m")
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                client.infer("m", x=X, timeout_s=1)
        wait_until(lambda: len(scripted.asked) == 2, "the server has got both calls")
        with pytest.raises(InputError):
            client.infer("m", x=[[1.0]])
        with pytest.raises(CircuitOpenError):
            client.infer("m", x=X)
    assert len(scripted.asked) == 2


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_the_probe_of_a_dead_server_does_not_cost_the_call(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.good()]
    with (
        scripted_http() as dead,
        connect([dead.url, scripted.url], retry=None, breaker=Breaker(failures=1, open_s=0.05)) as client,
    ):
        dead.replies = [dead.busy()]
        client.describe("m")
        list(client.map("m", [[1, 1]] * 2, batch_size=1, concurrency=1, errors="return"))
        dead.ready = False
        for _ in range(6):
            time.sleep(0.06)
            assert client.infer("m", x=X)["y"].tolist() == [[1, 1]]
    assert any(path.endswith("/ready") for path in dead.paths)


def test_a_new_version_is_known_by_its_digest_at_once(scripted: Scripted, connect: Connect) -> None:
    scripted.digest = "aa"
    scripted.replies = [scripted.good(), scripted.good("2")]
    with connect(scripted.url) as client:
        assert client.infer("m", x=X).digest == "aa"
        scripted.versions, scripted.digest = ["2"], "bb"
        assert client.infer("m", x=X).digest == "bb"


def test_a_changed_model_is_seen_by_map_and_by_split_batches(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.good()]
    with connect(scripted.url) as client:
        client.describe("m")
        scripted.width = 3
        assert len(list(client.map("m", [[1, 2, 3]]))) == 1
    scripted.width = 2
    with connect(scripted.url) as client:
        client.describe("m")
        scripted.width = 3
        assert client.infer("m", x=[[1, 2, 3]], split=True)["y"].shape == (1, 2)


def test_a_changed_model_is_seen_by_sequences(scripted: Scripted, connect: Connect) -> None:
    scripted.sequence = True
    scripted.replies = [scripted.good()]
    with connect(scripted.url) as client:
        client.describe("m")
        scripted.width = 3
        with client.sequence("m") as sequence:
            assert sequence.infer(x=[[1, 2, 3]])["y"].shape == (1, 2)


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_each_server_of_a_race_is_blamed_for_its_own_failure(scripted: Scripted, connect: Connect) -> None:
    with scripted_http() as other:

        def reset_during_the_race() -> str:
            wait_until(lambda: other.asked, "the call was sent once more")
            return "reset"

        scripted.replies, other.replies = [reset_during_the_race], [other.busy()]
        breaker = Breaker(failures=1, open_s=60)
        with connect([scripted.url, other.url], timeout_s=20, hedge_after_s=0.1, retry=None, breaker=breaker) as client:
            client.describe("m")
            with pytest.raises((ConnectionLostError, UnavailableError)):
                client.infer("m", x=X)
            with pytest.raises(CircuitOpenError):
                client.infer("m", x=X)
    assert (len(scripted.asked), len(other.asked)) == (1, 1)


def test_health_goes_on_past_a_server_that_is_busy(connect: Connect) -> None:
    fake = FakeTransport()
    with Client(["http://a", "http://b"], transport=fake) as client:
        answers = iter([UnavailableError("busy")])
        ready = fake.outcome
        fake.outcome = lambda call, deadline: (0.0, next(answers, None) or ready(call, deadline)[1])  # type: ignore[method-assign]  # one server says what no model would
        assert client.is_ready()


@pytest.mark.parametrize("way", ["grpc-async", "grpc"])
def test_a_call_whose_client_is_closed_is_cancelled(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = ["stall"]
    with connect(scripted.url, timeout_s=20, retry=None) as client:
        client.describe("m")

        def close_during_the_call() -> None:
            wait_until(lambda: scripted.asked, "the server has got the call")
            client.close()

        closer = threading.Thread(target=close_during_the_call)
        closer.start()
        with pytest.raises(CallCancelledError):
            client.infer("m", x=X)
        closer.join()


def test_one_refused_group_is_split_and_an_unavailable_one_is_not(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.busy()]
    with connect(scripted.url, retry=None) as client:
        outcomes = list(client.map("m", [[1, 1]] * 3, errors="return", batch_size=3))
    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 3
    assert len(scripted.asked) == 1
