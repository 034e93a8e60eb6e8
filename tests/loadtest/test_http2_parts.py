"""The parts of HTTP/2 and gRPC that need no connection."""

from __future__ import annotations

import pytest
from hpack import Encoder

from maas_loadtest.grpc_calls import UnaryCall, timeout_text
from maas_loadtest.http2_connection import MOST_STREAM_ID, Http2Connection
from maas_loadtest.http2_frames import FrameReader, FrameType, Http2Error, frame, settings_frame
from tests.loadtest.grpc_servers import OK, message_of


def test_no_numbers_left_for_streams() -> None:
    connection = Http2Connection()
    connection.receive(settings_frame({}))
    connection._next_id = MOST_STREAM_ID - 2
    for _ in range(2):
        assert connection.takes_streams
        connection.open(UnaryCall(b"", b"", 1, 1))
    assert not connection.takes_streams


def test_blocks_of_an_encoder_that_keeps_to_a_table_of_nothing_are_read() -> None:
    """Its first block tells the change of the size, and literals "with indexing" leave nothing behind."""
    encoder = Encoder()
    encoder.header_table_size = 0
    block = encoder.encode([(b":status", b"200"), (b"grpc-status", b"0"), (b"grpc-status", b"0")])
    connection, call = Http2Connection(), UnaryCall(b"", b"", 1, 1)
    connection.receive(settings_frame({}))
    connection.open(call)
    connection.receive(
        frame(FrameType.HEADERS, 0x4, 1, block)
        + frame(FrameType.DATA, 0, 1, message_of(b"body"))
        + frame(FrameType.HEADERS, 0x5, 1, OK)
    )
    assert call.answer() == b"body"


@pytest.mark.parametrize(
    ("timeout_s", "text"),
    [(0.25, "250000u"), (10, "10000000u"), (3600, "3600000m"), (1e6, "1000000S"), (1e12, "99999999S")],
)
def test_the_deadline_has_at_most_eight_digits(timeout_s: float, text: str) -> None:
    assert timeout_text(timeout_s) == text


def test_frames_longer_than_announced_are_told_before_they_have_come() -> None:
    with pytest.raises(Http2Error):
        list(FrameReader().feed(b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"))
