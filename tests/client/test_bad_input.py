"""The fault list of a hostile or clumsy caller, over all four ways: each with its promised exception and text.

What a server does wrong stands in test_failures.py; what 2 GiB get, in test_too_large.py.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from maas_client import (
    ConnectionLostError,
    DatatypeMismatchError,
    InputError,
    NameMismatchError,
    RefusedValueError,
    ShapeMismatchError,
    TransportError,
    UnreachableError,
)

GOOD = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
NAN = GOOD.copy()
NAN[1, 0, 2] = np.nan

REFUSED: list[tuple[str, dict[str, Any], type[InputError], str]] = [
    ("wrong name", {"X": GOOD}, NameMismatchError, "has no input 'X'; it takes 'x'"),
    ("no input", {}, NameMismatchError, "wants the inputs 'x', got none; pass 'x' too"),
    ("one input too many", {"x": GOOD, "z": GOOD}, NameMismatchError, "has no input 'z'"),
    ("dtype", {"x": GOOD.astype(np.float64)}, DatatypeMismatchError, "got float64 [2, 1, 3]; pass array.astype"),
    ("rank", {"x": GOOD[0]}, ShapeMismatchError, "got float32 [1, 3]; add the batch axis"),
    ("dim", {"x": GOOD[..., :2].copy()}, ShapeMismatchError, "axis 2 must be 3, not 2"),
    ("batch", {"x": np.zeros((5, 1, 3), np.float32)}, ShapeMismatchError, "pass at most 4 rows at a time, or split"),
    ("zero rows", {"x": GOOD[:0]}, ShapeMismatchError, "an empty batch has no answer"),
    ("zero size", {"x": GOOD[..., :0].copy()}, ShapeMismatchError, "axis 2 must be 3, not 0"),
    ("object array with None", {"x": np.array([[[1, None, 2]]], object)}, RefusedValueError, "None at element 1"),
    ("mixed strings and numbers", {"x": [[[1, "2", 3]]]}, DatatypeMismatchError, "pass values of that type"),
    ("text for numbers", {"x": "123"}, DatatypeMismatchError, "str '123'; pass numbers"),
    ("ragged", {"x": [[[1, 2, 3]], [[1, 2]]]}, ShapeMismatchError, "make every row equally long"),
    ("None", {"x": None}, RefusedValueError, "got None; pass an array or a list"),
    ("NaN", {"x": NAN}, RefusedValueError, "nan at [1, 0, 2]; this model refuses NaN and infinity"),
    ("too large a number", {"x": [[[1e39, 0, 0]]]}, RefusedValueError, "scale it into FP32's range"),
]

TAKEN = {
    "Fortran order": np.asfortranarray(GOOD),
    "big-endian": GOOD.astype(">f4"),
    "non-contiguous": np.repeat(GOOD, 2, axis=2)[..., ::2],
    "negative strides": GOOD[:, :, ::-1][:, :, ::-1],
    "read-only": np.frombuffer(GOOD.tobytes(), np.float32).reshape(GOOD.shape),
    "lists": GOOD.tolist(),
    "numbers as objects": GOOD.astype(object),
}


@pytest.mark.parametrize(("inputs", "kind", "text"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_does_not_fit_is_refused_with_its_mend(
    client: Any, inputs: dict[str, Any], kind: type[InputError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        client.infer("small", inputs)
    assert text in caught.value.message
    assert caught.value.message.startswith("small")
    assert "\n" not in str(caught.value)
    assert caught.value.endpoint == "", "nothing may have been sent"
    assert type(caught.value) is kind


@pytest.mark.parametrize("value", TAKEN.values(), ids=TAKEN.keys())
def test_what_only_lies_otherwise_in_memory_is_taken(client: Any, value: Any) -> None:
    np.testing.assert_array_equal(client.infer("small", x=value)["y"], GOOD)


@pytest.fixture
def resetting(way: str) -> Iterator[str]:
    """A server that accepts and resets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def reset() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.close()

    thread = threading.Thread(target=reset, daemon=True)
    thread.start()
    yield f"{way.removesuffix('-async')}://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_a_server_that_resets_every_connection_is_told(connect: Callable[..., Any], resetting: str) -> None:
    with connect(resetting, timeout_s=5, retry=None) as client, pytest.raises(TransportError) as caught:
        client.infer("small", x=GOOD)
    assert type(caught.value) in {ConnectionLostError, UnreachableError}
    assert resetting in str(caught.value)
    assert "\n" not in str(caught.value)
