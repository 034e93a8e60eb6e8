"""HPACK without state: header blocks that mean the same at every place of a connection.

Both directions do without the dynamic table: requests, because their block is made once for all of them; answers,
because SETTINGS_HEADER_TABLE_SIZE 0 is announced, so that equal bytes are equal headers and are decoded only once.

Source: RFC 7541.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple

from maas_loadtest.http2_frames import ErrorCode, Http2Error

HeaderMap = Mapping[bytes, bytes]
_MOST_KNOWN_BLOCKS = 256
"""A server that writes a date or an id into each answer shall not fill the memory."""


def encode_block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block for any stream of any connection.

    It begins with a change of the table's size to 0, which is allowed under each limit a peer can set (4.2). "Never
    indexed" (6.2.3) is the form that also keeps proxies from storing a key that a caller sends.
    """
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode([NeverIndexedHeaderTuple(name, value) for name, value in headers], huffman=False)


class HeaderDecoder:
    """Decodes a server's blocks; those that it repeats only once."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._decoder.header_table_size = 0
        self._decoder.max_allowed_table_size = 0
        self._known: dict[bytes, HeaderMap] = {}

    def decode(self, block: bytes) -> HeaderMap:
        """Of a name that comes twice the last value.

        Raises:
            Http2Error: it is no header block, or refers to a dynamic table.
        """
        found = self._known.get(block)
        if found is None:
            found = self._decoded(block)
            if len(self._known) < _MOST_KNOWN_BLOCKS:
                self._known[block] = found
        return found

    def _decoded(self, block: bytes) -> HeaderMap:
        try:
            return {bytes(name): bytes(value) for name, value in self._decoder.decode(block, raw=True)}
        except HPACKError as error:
            raise Http2Error(ErrorCode.COMPRESSION_ERROR, "headers that can not be decoded") from error
