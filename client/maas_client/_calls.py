"""What can be asked of a server and what it answers, without saying how it travels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maas_client._dtypes import ITEM_SIZE_BYTES, Array
from maas_client.errors import RefusedValueError

MAX_REQUEST_BYTES = 2**31 - 1
"""gRPC's limit for a message. HTTP has the same here: what can be sent does not depend on the URL."""
ParameterValue = bool | int | float | str


@dataclass(slots=True, eq=False)
class RequestForm:
    """What requests that differ only in their values have in common.

    Attributes:
        model: the model's name.
        version: "" lets the server choose (the highest ready version).
        inputs: name, datatype and shape of each input.
        outputs: the names asked for; empty asks for all.
        class_count: so many best classes of each output in place of its values; 0 asks for the values.
        heads: what the codecs made of this form, by protocol, so that they make it once.
        patterns: what they know of its answers, likewise.
    """

    model: str
    version: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[str, ...] = ()
    class_count: int = 0
    heads: dict[str, bytes] = field(default_factory=dict)
    patterns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SharedTensors:
    """Where the tensors of a request lie in a region of shared memory.

    Attributes:
        region: its name at the server.
        memory: what lies behind its header.
        header_bytes: added to every offset when a server is told of it.
        inputs: offset in ``memory`` and size in bytes, in the form's order.
        outputs: likewise by name, for all outputs wanted; None for one that comes over the network.
    """

    region: str
    memory: memoryview
    header_bytes: int
    inputs: tuple[tuple[int, int], ...]
    outputs: Mapping[str, tuple[int, int] | None]

    def parameters(self, place: tuple[int, int]) -> dict[str, str | int]:
        """A place in Triton's words."""
        offset, size_bytes = place
        return {
            "shared_memory_region": self.region,
            "shared_memory_offset": self.header_bytes + offset,
            "shared_memory_byte_size": size_bytes,
        }

    def output(self, name: str, datatype: str, shape: tuple[int, ...]) -> memoryview | None:
        """The bytes of an output that lies here, read-only, since the next call overwrites them; None where it came
        over the network. Triton's answer tells neither that nor the size.

        Raises:
            ValueError: it is larger than its place.
        """
        place = self.outputs.get(name)
        if place is None:
            return None
        offset, reserved_bytes = place
        size_bytes = math.prod(shape) * ITEM_SIZE_BYTES.get(datatype, 0)
        if not 0 <= size_bytes <= reserved_bytes:
            raise ValueError(f"{name!r} is told to be {datatype} {list(shape)} in a place of {reserved_bytes} bytes")
        return self.memory[offset : offset + size_bytes].toreadonly()


@dataclass(slots=True)
class InferCall:
    """One inference request.

    Attributes:
        form: names, datatypes and shapes.
        data: the bytes of each input, in the form's order, as :func:`maas_client._dtypes.encode` makes them.
        parameters: the request's own, Triton's reserved ones included (``priority``, ``timeout``, ...).
        request_id: comes back with the answer.
        shared: where the tensors lie in shared memory, in place of ``data``.
        headers: of this request alone, in lower case: its trace context.
    """

    form: RequestForm
    data: tuple[bytes | memoryview, ...]
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    request_id: str = ""
    shared: SharedTensors | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def model(self) -> str:
        """The model's name."""
        return self.form.model


@dataclass(frozen=True, slots=True)
class LiveCall:
    """Is the server alive?"""

    model: str = ""


@dataclass(frozen=True, slots=True)
class ReadyCall:
    """Is the server ready, or, with a model, is that model ready?"""

    model: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class MetadataCall:
    """The metadata of the server, or of a model."""

    model: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ConfigCall:
    """The configuration of a model."""

    model: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class RegisterCall:
    """Make a region of shared memory known to the server, under its own name.

    Attributes:
        size_bytes: from its beginning.
    """

    region: str
    size_bytes: int
    model: str = ""


@dataclass(frozen=True, slots=True)
class UnregisterCall:
    """Let the server forget a region of shared memory."""

    region: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class RegionsCall:
    """The regions of shared memory that the server knows; the answer has their names as keys."""

    model: str = ""


RegionCall = RegisterCall | UnregisterCall | RegionsCall
Call = InferCall | LiveCall | ReadyCall | MetadataCall | ConfigCall | RegionCall


@dataclass(slots=True)
class InferAnswer:
    """One inference response."""

    model: str
    version: int
    request_id: str
    outputs: dict[str, Array]
    parameters: Mapping[str, ParameterValue]


def check_size(call: InferCall, size_bytes: int) -> None:
    """Refuses a request that gRPC cannot carry.

    Raises:
        RefusedValueError: it has 2 GiB or more.
    """
    if size_bytes > MAX_REQUEST_BYTES:
        raise RefusedValueError(
            f"{call.model}: the request has {size_bytes} bytes and can have {MAX_REQUEST_BYTES}; send smaller batches",
            model=call.model,
        )


def read_version(text: str) -> int:
    """The version that a server tells.

    Raises:
        ValueError: it is not a positive integer.
    """
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"it tells the version {text!r}")
    return int(text)


Answer = InferAnswer | bool | dict[str, Any]
