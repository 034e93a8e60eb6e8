"""HTTP/2 as the load generator speaks it, against servers that do what grpcio's never would."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import gevent
import pytest

from maas_client._url import Endpoint
from maas_loadtest.http2_frames import ErrorCode, FrameType, Setting, frame, settings_frame
from maas_loadtest.http2_headers import encode_block
from maas_loadtest.prepared import Prepared
from maas_loadtest.senders_grpc import GrpcSender
from maas_loadtest.sending import SendFailed
from tests.client.scripted import Certificates
from tests.loadtest.grpc_servers import HEAD, OK, Peer, good_answer, message_of, raw_server, wait_until_lost

BODY = b"\x0a\x01m\x12\x017"
"""ModelInferResponse of model "m", version "7"."""
ONE = Prepared("m", "", "infer", (b"request",), 1)
HEADERS, DATA, CONTINUATION = FrameType.HEADERS, FrameType.DATA, FrameType.CONTINUATION
LARGE = bytes(range(256)) * 1000
Talk = Callable[[Peer], None]


@contextmanager
def sending(*talks: Talk, timeout_s: float = 10.0, context: ssl.SSLContext | None = None) -> Iterator[GrpcSender]:
    with raw_server(*talks, context=context) as endpoint:
        sender = GrpcSender(endpoint, timeout_s)
        try:
            yield sender
        finally:
            sender.close()


def failure(sender: GrpcSender, one: Prepared = ONE) -> SendFailed:
    with pytest.raises(SendFailed) as failed:
        sender.send(one, one.wires[0])
    return failed.value


def answering(*pieces: bytes) -> Talk:
    """Answers the first request so, and waits for the client to go."""

    def talk(peer: Peer) -> None:
        peer.greet()
        peer.wait_for(DATA)
        peer.say(*pieces)
        peer.wait_for_end()

    return talk


def good(peer: Peer) -> None:
    answering(good_answer(1, BODY))(peer)


def status_block(code: int, message: bytes) -> bytes:
    pairs = [(b":status", b"200"), (b"grpc-status", b"%d" % code), (b"grpc-message", message)]
    return encode_block(pairs)


PADDED_AND_CONTINUED = (
    # PADDED and PRIORITY, and the block in three pieces.
    frame(HEADERS, 0x28, 1, b"\x03" + bytes(5) + HEAD[:2] + bytes(3)),
    frame(CONTINUATION, 0, 1, HEAD[2:9]),
    frame(CONTINUATION, 0x4, 1, HEAD[9:]),
    frame(DATA, 0x8, 1, b"\x04" + message_of(BODY)[:3] + bytes(4)),
    frame(DATA, 0, 1),
    frame(DATA, 0, 1, message_of(BODY)[3:]),
    frame(0x77, 0xFF, 1, b"a type of the future"),
    frame(FrameType.PRIORITY, 0, 1, bytes(5)),
    frame(HEADERS, 0xD, 1, b"\x02" + OK + bytes(2)),
)


class TestAnswers:
    @pytest.mark.parametrize("pieces", [1, 0], ids=["at once", "byte by byte"])
    def test_an_odd_but_right_answer(self, pieces: int) -> None:
        def talk(peer: Peer) -> None:
            peer.greet()
            peer.wait_for(DATA)
            whole = b"".join(PADDED_AND_CONTINUED)
            for start in range(0, len(whole), len(whole) if pieces else 1):
                peer.say(whole[start : start + (len(whole) if pieces else 1)])
            peer.wait_for_end()

        with sending(talk) as sender:
            assert sender.send(ONE, b"request").body == BODY

    def test_the_request_as_the_protocol_wants_it(self) -> None:
        seen = []

        def talk(peer: Peer) -> None:
            peer.greet()
            seen.extend([peer.wait_for(FrameType.SETTINGS), peer.wait_for(HEADERS), peer.wait_for(DATA)])
            peer.say(good_answer(1, BODY))
            peer.wait_for_end()

        with sending(talk) as sender:
            sender.send(ONE, b"request")
        settings, head, data = seen
        assert Setting.HEADER_TABLE_SIZE.to_bytes(2, "big") + bytes(4) in settings[3]
        assert (head[1], head[2]) == (0x4, 1)
        assert (data[1], data[2], data[3]) == (0x1, 1, b"\0\0\0\0\7request")

    def test_pings_and_settings_are_acknowledged(self) -> None:
        def talk(peer: Peer) -> None:
            peer.greet()
            peer.wait_for(FrameType.SETTINGS, 0x1)
            peer.say(frame(FrameType.PING, 0, 0, b"8 bytes!"))
            assert peer.wait_for(FrameType.PING, 0x1)[3] == b"8 bytes!"
            peer.say(settings_frame({Setting.MAX_FRAME_SIZE: 1 << 15}))
            peer.wait_for(FrameType.SETTINGS, 0x1)
            peer.say(good_answer(1, BODY))
            peer.wait_for_end()

        with sending(talk) as sender:
            assert sender.send(ONE, b"request").version == "7"

    def test_a_request_goes_out_as_windows_and_frame_size_let_it(self) -> None:
        def talk(peer: Peer) -> None:
            peer.greet({Setting.INITIAL_WINDOW_SIZE: 1000})
            assert len(peer.wait_for(DATA)[3]) == 1000
            # The stream's window goes below zero, and has to be filled up before anything comes.
            peer.say(settings_frame({Setting.INITIAL_WINDOW_SIZE: 400}))
            peer.wait_for(FrameType.SETTINGS, 0x1)
            peer.say(frame(FrameType.WINDOW_UPDATE, 0, 1, (700).to_bytes(4, "big")))
            assert len(peer.wait_for(DATA)[3]) == 100
            peer.say(settings_frame({Setting.INITIAL_WINDOW_SIZE: 1 << 20, Setting.MAX_FRAME_SIZE: 20_000}))
            # What is left of the connection's first window, in frames of at most 20,000.
            sizes = [len(peer.wait_for(DATA)[3]) for _ in range(4)]
            assert sizes == [20_000, 20_000, 20_000, 65_535 - 61_100]
            peer.say(frame(FrameType.WINDOW_UPDATE, 0, 0, (1 << 20).to_bytes(4, "big")))
            rest = 1100 + sum(sizes)
            while True:
                data = peer.wait_for(DATA)
                rest += len(data[3])
                if data[1] & 0x1:
                    break
            assert rest == len(LARGE) + 5
            peer.say(good_answer(1, BODY))
            peer.wait_for_end()

        with sending(talk) as sender:
            assert sender.send(ONE, LARGE).version == "7"

    def test_a_call_waits_until_the_server_takes_one_more(self) -> None:
        def talk(peer: Peer) -> None:
            peer.greet({Setting.MAX_CONCURRENT_STREAMS: 1})
            peer.wait_for(FrameType.SETTINGS, 0x1)
            for number in range(3):
                peer.wait_for(DATA)
                # Had more come, this would be answered first.
                peer.say(frame(FrameType.PING, 0, 0, bytes(8)))
                while (found := peer.wait_for_any())[0] != FrameType.PING:
                    assert found[0] not in (HEADERS, DATA)
                peer.say(good_answer(2 * number + 1, BODY))
            peer.wait_for_end()

        with sending(talk) as sender:
            jobs = [gevent.spawn(sender.send, ONE, b"request") for _ in range(3)]
            gevent.joinall(jobs, raise_error=True)


class TestFailures:
    @pytest.mark.parametrize(
        ("pieces", "kind", "message"),
        [
            ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "protocol", "longer than SETTINGS_MAX_FRAME_SIZE"),
            ([frame(FrameType.PING, 0, 0, bytes(8))], "protocol", "does not begin with SETTINGS"),
            ([b"SSH"], "connection", "before the whole answer"),
            ([], "connection", "before the whole answer"),
        ],
        ids=["http/1.1", "no settings", "something short", "nothing"],
    )
    def test_one_who_does_not_speak_http2(self, pieces: list[bytes], kind: str, message: str) -> None:
        def talk(peer: Peer) -> None:
            peer.say(*pieces)

        with sending(talk, good) as sender:
            failed = failure(sender)
            assert (failed.kind, message in failed.message) == (kind, True), failed.message
            # The next request gets a new connection.
            assert sender.send(ONE, b"request").version == "7"

    @pytest.mark.parametrize(
        ("pieces", "message"),
        [
            ([frame(HEADERS, 0x4, 1, b"\xff\xff\xff\xff\xff\xff")], "headers that can not be decoded"),
            ([frame(HEADERS, 0x4, 1, b"\xbe")], "headers that can not be decoded"),
            ([frame(HEADERS, 0x4, 1, b"\x3f\xe1\x1f")], "headers that can not be decoded"),
            ([frame(HEADERS, 0, 1, HEAD), frame(DATA, 0, 1)], "between HEADERS and CONTINUATION"),
            ([frame(HEADERS, 0, 1, HEAD), frame(CONTINUATION, 0x4, 3, b"")], "CONTINUATION without HEADERS"),
            ([frame(HEADERS, 0, 1), *5 * [frame(CONTINUATION, 0, 1, bytes(16_000))]], "more than 64 KiB"),
            ([frame(CONTINUATION, 0x4, 1)], "CONTINUATION without HEADERS"),
            ([frame(HEADERS, 0xC, 1, b"\xff")], "more padding"),
            ([frame(HEADERS, 0x24, 1, b"\x00")], "more padding"),
            ([frame(DATA, 0x8, 1)], "more padding"),
            ([frame(DATA, 0, 5, b"x")], "never opened"),
            ([frame(DATA, 0, 2, b"x")], "never opened"),
            ([frame(FrameType.RST_STREAM, 0, 1, b"x")], "RST_STREAM of a wrong size"),
            ([frame(FrameType.PING, 0, 0, b"x")], "PING of a wrong size"),
            ([frame(FrameType.GOAWAY, 0, 0, b"x")], "GOAWAY of a wrong size"),
            ([frame(FrameType.SETTINGS, 0, 0, b"x")], "SETTINGS of a wrong size"),
            ([frame(FrameType.SETTINGS, 0, 1)], "SETTINGS of a stream"),
            ([settings_frame({Setting.MAX_FRAME_SIZE: 1})], "SETTINGS_MAX_FRAME_SIZE that is not allowed"),
            ([settings_frame({Setting.INITIAL_WINDOW_SIZE: 2**31})], "WINDOW_SIZE that is not allowed"),
            ([frame(FrameType.WINDOW_UPDATE, 0, 1, bytes(4))], "WINDOW_UPDATE by 0"),
            ([frame(FrameType.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")], "a window beyond"),
            ([frame(FrameType.WINDOW_UPDATE, 0, 0, b"\0")], "WINDOW_UPDATE of a wrong size"),
            ([frame(FrameType.PUSH_PROMISE, 0x4, 1, bytes(4))], "PUSH_PROMISE"),
        ],
    )
    def test_what_breaks_the_protocol_has_a_name(self, pieces: list[bytes], message: str) -> None:
        def talk(peer: Peer) -> None:
            answering(*pieces)(peer)

        with sending(talk, good) as sender:
            failed = failure(sender)
            assert failed.kind == "protocol"
            assert failed.message.startswith("the server breaks HTTP/2: ")
            assert message in failed.message
            assert sender.send(ONE, b"request").version == "7"

    @pytest.mark.parametrize(
        ("pieces", "kind", "message"),
        [
            ([frame(HEADERS, 0x5, 1, status_block(3, b"50%25 f%C3%BCr%"))], "status", "INVALID_ARGUMENT: 50% für%"),
            ([frame(HEADERS, 0x5, 1, status_block(5, b""))], "status", "NOT_FOUND: no explanation"),
            ([frame(HEADERS, 0x5, 1, status_block(99, b"?"))], "status", "UNKNOWN: ?"),
            ([frame(HEADERS, 0x5, 1, status_block(4, b"late"))], "timeout", "no answer within 10 s"),
            ([frame(HEADERS, 0x5, 1, status_block(14, b"Connection refused"))], "unreachable", "no connection"),
            ([frame(HEADERS, 0x5, 1, encode_block([(b":status", b"503")]))], "status", "UNAVAILABLE: HTTP status 503"),
            ([frame(HEADERS, 0x5, 1, HEAD)], "protocol", "an answer without grpc-status"),
            ([frame(HEADERS, 0x4, 1, HEAD), frame(HEADERS, 0x5, 1, OK)], "protocol", "not one whole message"),
            ([good_answer(1, BODY).replace(b"\0\0\0\0\6", b"\1\0\0\0\6")], "protocol", "a compressed message"),
            ([good_answer(1, BODY).replace(b"\0\0\0\0\6", b"\0\0\0\0\7")], "protocol", "not one whole message"),
            ([good_answer(1, b"\xff")], "protocol", "no message of the protocol"),
            ([frame(FrameType.RST_STREAM, 0, 1, bytes([0, 0, 0, 11]))], "status", "RESOURCE_EXHAUSTED: .*CALM"),
            ([frame(FrameType.RST_STREAM, 0, 1, bytes([0, 0, 0, 99]))], "status", r"INTERNAL: .*\(0x63\)"),
        ],
    )
    def test_a_bad_answer_is_only_its_own_calls(self, pieces: list[bytes], kind: str, message: str) -> None:
        def talk(peer: Peer) -> None:
            peer.greet()
            peer.wait_for(DATA)
            peer.say(*pieces)
            peer.wait_for(DATA)
            # Late words about a call that is over are no fault.
            peer.say(frame(FrameType.WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), good_answer(1, BODY), good_answer(3, BODY))
            peer.wait_for_end()

        with sending(talk) as sender:
            with pytest.raises(SendFailed, match=message) as failed:
                sender.send(ONE, b"request")
            assert failed.value.kind == kind
            assert sender.send(ONE, b"request").version == "7"

    @pytest.mark.parametrize("refusals", [1, 2])
    def test_a_refused_call_is_sent_once_more(self, refusals: int) -> None:
        def talk(peer: Peer) -> None:
            peer.greet()
            for number in range(refusals):
                assert peer.wait_for(DATA)[3] == message_of(b"request")
                refused = int(ErrorCode.REFUSED_STREAM).to_bytes(4, "big")
                peer.say(frame(FrameType.RST_STREAM, 0, 2 * number + 1, refused))
            if refusals == 1:
                peer.wait_for(DATA)
                peer.say(good_answer(3, BODY))
            peer.wait_for_end()

        with sending(talk) as sender:
            if refusals == 1:
                assert sender.send(ONE, b"request").version == "7"
            else:
                assert failure(sender).message == "UNAVAILABLE: the server reset the stream (REFUSED_STREAM)"

    @pytest.mark.parametrize("broken", [b"\1\0\0\0\0", b"\0\0\0\0\1\xff"], ids=["compressed", "no message"])
    def test_a_broken_stream(self, broken: bytes) -> None:
        def talk(peer: Peer) -> None:
            peer.greet()
            peer.wait_for(DATA)
            peer.say(frame(HEADERS, 0x4, 1, HEAD), frame(DATA, 0, 1, broken))
            assert peer.wait_for(FrameType.RST_STREAM)[3] == ErrorCode.CANCEL.to_bytes(4, "big")
            peer.wait_for_end()

        with sending(talk) as sender:
            assert failure(sender, replace(ONE, kind="stream")).kind == "protocol"
            gevent.sleep(0.01)

    def test_silence_is_a_timeout_and_the_server_is_told(self) -> None:
        def talk(peer: Peer) -> None:
            peer.greet()
            assert peer.wait_for(FrameType.RST_STREAM)[2:] == (1, ErrorCode.CANCEL.to_bytes(4, "big"))
            peer.wait_for(DATA)
            peer.say(good_answer(1, BODY), good_answer(3, BODY))
            peer.wait_for_end()

        with sending(talk, timeout_s=3) as sender:
            failed = failure(sender)
            assert (failed.kind, failed.message) == ("timeout", "no answer within 3 s")
            assert sender.send(ONE, b"request").version == "7"

    def test_one_who_takes_connections_and_says_nothing(self) -> None:
        with sending(Peer.wait_for_end, good, timeout_s=2) as sender:
            assert failure(sender).kind == "timeout"
            wait_until_lost(sender)
            assert sender.send(ONE, b"request").version == "7"

    def test_a_server_that_is_lost_fails_all_who_wait(self) -> None:
        def talk(peer: Peer) -> None:
            peer.greet()
            for _ in range(3):
                peer.wait_for(DATA)

        with sending(talk, good) as sender:
            jobs = [gevent.spawn(failure, sender) for _ in range(3)]
            gevent.joinall(jobs, raise_error=True)
            assert {job.value.kind for job in jobs} == {"connection"}
            assert sender.send(ONE, b"request").version == "7"

    def test_goaway(self) -> None:
        """What the server still answers is answered; the rest goes over a new connection, but not a third time."""

        def leaves(peer: Peer) -> None:
            peer.greet()
            for _ in range(2):
                peer.wait_for(DATA)
            peer.say(frame(FrameType.GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4) + b"bye"))
            time.sleep(0.1)
            peer.say(good_answer(1, BODY))
            peer.wait_for_end()

        with sending(leaves, good) as sender:
            first, second = (gevent.spawn(sender.send, ONE, b"request") for _ in range(2))
            assert (first.get().version, second.get().version) == ("7", "7")
        with sending(leaves, leaves) as sender:
            first, second, third = (gevent.spawn(sender.send, ONE, b"request") for _ in range(3))
            gevent.joinall([first, second, third])
            assert (first.get().version, second.get().version) == ("7", "7")
            assert (third.exception.kind, third.exception.message) == (
                "connection",
                "not sent: the server closes the connection (NO_ERROR)",
            )

    def test_tls_without_http2(self, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(certificates.ca))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.server_key)
        # A client that closes before it has read them resets the connection.
        context.num_tickets = 0
        with sending(Peer.wait_for_end, context=context) as sender:
            failed = failure(sender)
        assert (failed.kind, failed.message) == ("protocol", "the server does not speak HTTP/2 (no h2 in ALPN)")

    def test_a_sender_that_is_closed_fails_those_who_wait(self) -> None:
        with sending(Peer.wait_for_end) as sender:
            job = gevent.spawn(failure, sender)
            gevent.sleep(0.05)
            sender.close()
            assert job.get().message == "the sender was closed"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


def test_a_connection_that_nobody_accepts_is_a_failure_of_its_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint("grpc", "127.0.0.1", listener.getsockname()[1])
    sender = GrpcSender(endpoint, 2)
    jobs = [gevent.spawn(failure, sender) for _ in range(3)]
    gevent.joinall(jobs, raise_error=True)
    sender.close()
    assert {job.value.kind for job in jobs} == {"unreachable"}
