"""Requests as bytes, made before the run, so that sending one costs nothing but sending it.

They travel from master to workers in Locust's messages: a worker needs neither golden samples nor the user's files.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from maas_client._dtypes import decode, encode
from maas_core.golden import Array, Tensors

Kind = Literal["infer", "sequence", "stream"]
PLACEHOLDER_64 = 123_456_789_012_345_678
"""18 decimal digits; as a protobuf varint 9 bytes, as has every number between 10**17 and 10**18."""
PLACEHOLDER_32 = 1_234_567_890
"""10 decimal digits; as a varint 5 bytes, as has every number between 10**9 and 2**31."""


@dataclass(frozen=True)
class Prepared:
    """One request, or all steps of a sequence.

    Attributes:
        model: who is asked.
        version: which version is asked for; "" leaves the choice to the server.
        kind: one answer; steps that follow each other; any number of answers.
        wires: the bytes to send: of HTTP whole requests, of gRPC messages; one for each step of a sequence.
        items: batch elements, of a sequence steps.
        placeholder: the sequence's id in ``wires``, which is replaced for each sequence; 0 in others.
        expected: the right outputs of each answer; empty where none are known. Of a stream: all answers, joined.
        expected_version: which version answers so; "" where any does.
        tolerances: absolute and relative, by Triton datatype.
    """

    model: str
    version: str
    kind: Kind
    wires: tuple[bytes, ...]
    items: int
    placeholder: int = 0
    expected: tuple[Tensors, ...] = ()
    expected_version: str = ""
    tolerances: Mapping[str, tuple[float, float]] | None = None

    def with_new_id(self, *, is_grpc: bool) -> Prepared:
        """The same sequence under an id of its own."""
        if self.placeholder == PLACEHOLDER_32:
            new = 10**9 + secrets.randbelow(2**31 - 10**9)
        else:
            new = 10**17 + secrets.randbelow(9 * 10**17)
        # A model that takes texts as ids gets the digits, over gRPC too.
        form = varint if is_grpc and varint(self.placeholder) in self.wires[0] else _decimal
        old_bytes, new_bytes = form(self.placeholder), form(new)
        return replace(self, wires=tuple(wire.replace(old_bytes, new_bytes, 1) for wire in self.wires))


def varint(value: int) -> bytes:
    """A positive number in protobuf's variable-length form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _decimal(value: int) -> bytes:
    return str(value).encode()


def sha256_of(prepared: Sequence[Prepared]) -> str:
    """Over the bytes of all requests in order."""
    digest = hashlib.sha256()
    for one in prepared:
        for wire in one.wires:
            digest.update(wire)
    return digest.hexdigest()


def to_message(prepared: Prepared) -> dict[str, Any]:
    """For msgpack."""
    return {
        "model": prepared.model,
        "version": prepared.version,
        "kind": prepared.kind,
        "wires": list(prepared.wires),
        "items": prepared.items,
        "placeholder": prepared.placeholder,
        "expected": [
            {name: _array_to_message(value) for name, value in outputs.items()} for outputs in prepared.expected
        ],
        "expected_version": prepared.expected_version,
        "tolerances": {name: list(pair) for name, pair in (prepared.tolerances or {}).items()},
    }


def from_message(message: Mapping[str, Any]) -> Prepared:
    """The inverse of :func:`to_message`."""
    return Prepared(
        model=message["model"],
        version=message["version"],
        kind=message["kind"],
        wires=tuple(message["wires"]),
        items=message["items"],
        placeholder=message["placeholder"],
        expected=tuple(
            {name: _array_from_message(value) for name, value in outputs.items()} for outputs in message["expected"]
        ),
        expected_version=message["expected_version"],
        tolerances={name: (pair[0], pair[1]) for name, pair in message["tolerances"].items()},
    )


def _array_to_message(array: Array) -> list[Any]:
    datatype = "BYTES" if array.dtype == np.object_ else array.dtype.str
    data = bytes(encode(array, "BYTES")) if datatype == "BYTES" else array.tobytes()
    return [datatype, list(array.shape), data]


def _array_from_message(message: Sequence[Any]) -> Array:
    datatype, shape, data = message
    if datatype == "BYTES":
        return decode(data, "BYTES", tuple(shape))
    return np.frombuffer(data, np.dtype(datatype)).reshape(shape)
