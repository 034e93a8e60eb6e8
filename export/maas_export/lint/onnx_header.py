"""The signature of an ONNX file, read without its weights and without the onnx package.

A protobuf message is a row of (field number, wire type, value); what is not wanted is stepped over by its length, so
the cost does not grow with the weights. Field numbers: ``onnx.proto`` (ModelProto, GraphProto, NodeProto,
AttributeProto, TensorProto, ValueInfoProto, TypeProto). Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Buffer = mmap.mmap | bytes
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZE = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
_EXTERNAL = 1
"""``TensorProto.DataLocation.EXTERNAL``."""
_DEEPEST_GRAPH = 32


class OnnxUnreadable(Exception):
    """The file is no ONNX model, or not a whole one; the message says why."""


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of the graph.

    Attributes:
        element_type: ONNX's number of the datatype; 0 where it is no tensor.
        shape: batch axis included, -1 for any size; ``None`` where the graph does not say.
    """

    name: str
    element_type: int
    shape: tuple[int, ...] | None


@dataclass
class OnnxHeader:
    """What an ONNX file says about itself.

    Attributes:
        opsets: the version of each operator set, by domain; the plain one is "".
        inputs: what callers give: the graph's inputs without those that have an initial value.
        overridable: inputs that have one.
        external: where weights lie that are not in the file itself, each place once.
        operators: every (domain, operator) that is used.
        functions: the (domain, operator) that the file defines itself.
    """

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, GraphTensor] = field(default_factory=dict)
    overridable: dict[str, GraphTensor] = field(default_factory=dict)
    outputs: dict[str, GraphTensor] = field(default_factory=dict)
    external: dict[str, None] = field(default_factory=dict)
    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)


def read_header(path: Path) -> OnnxHeader:
    """Reads the header of an ONNX file.

    Raises:
        OnnxUnreadable: where it is none, or was cut off.
        OSError: where it cannot be opened.
    """
    with path.open("rb") as file:
        try:
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise OnnxUnreadable("No graph was found in the protobuf: the file is empty") from error
        with buffer:
            return parse_header(buffer)


def parse_header(buffer: Buffer) -> OnnxHeader:
    """Like :func:`read_header`, of bytes."""
    header = OnnxHeader()
    has_graph = False
    for number, wire, value, start, end in _fields(buffer, 0, len(buffer)):
        if number == 1 and wire == _VARINT:
            header.ir_version = value
        elif number == 7 and wire == _BYTES:
            has_graph = True
            _read_graph(buffer, start, end, header, depth=0)
        elif number == 8 and wire == _BYTES:
            domain, version = _opset(buffer, start, end)
            header.opsets["" if domain == "ai.onnx" else domain] = version
        elif number == 25 and wire == _BYTES:
            header.functions.add(_function(buffer, start, end))
    if not has_graph or not header.outputs:
        raise OnnxUnreadable("No graph was found in the protobuf")
    return header


def _fields(buffer: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """One field after another: (number, wire type, a varint's value, start and end of a value with a length)."""
    position = start
    while position < end:
        key, position = _varint(buffer, position, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise OnnxUnreadable(f"INVALID_PROTOBUF: byte {position} begins no field")
        if wire == _VARINT:
            value, position = _varint(buffer, position, end)
            yield number, wire, value, 0, 0
            continue
        if wire == _BYTES:
            size, position = _varint(buffer, position, end)
        elif wire in _FIXED_SIZE:
            size = _FIXED_SIZE[wire]
        else:
            raise OnnxUnreadable(f"INVALID_PROTOBUF: byte {position} holds no field")
        if position + size > end:
            raise OnnxUnreadable(f"INVALID_PROTOBUF: byte {position} says {size} bytes, {end - position} are left")
        yield number, wire, 0, position, position + size
        position += size


def _varint(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if position >= end:
            raise OnnxUnreadable("INVALID_PROTOBUF: the file ends in the middle of a number")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position
    raise OnnxUnreadable(f"INVALID_PROTOBUF: byte {position} holds no number")


def _text(buffer: Buffer, start: int, end: int) -> str:
    return bytes(buffer[start:end]).decode("utf-8", errors="replace")


def _opset(buffer: Buffer, start: int, end: int) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value, first, last in _fields(buffer, start, end):
        if number == 1:
            domain = _text(buffer, first, last)
        elif number == 2:
            version = value
    return domain, version


def _function(buffer: Buffer, start: int, end: int) -> tuple[str, str]:
    """(domain, name) of a FunctionProto."""
    name, domain = "", ""
    for number, _, _, first, last in _fields(buffer, start, end):
        if number == 1:
            name = _text(buffer, first, last)
        elif number == 10:
            domain = _text(buffer, first, last)
    return domain, name


def _read_graph(buffer: Buffer, start: int, end: int, header: OnnxHeader, depth: int) -> None:
    if depth > _DEEPEST_GRAPH:
        raise OnnxUnreadable(f"graphs lie in graphs more than {_DEEPEST_GRAPH} deep")
    initializers, inputs, outputs = set(), [], []
    for number, wire, _, first, last in _fields(buffer, start, end):
        if wire != _BYTES:
            continue
        if number == 1:
            _read_node(buffer, first, last, header, depth)
        elif number == 5:
            initializers.add(_read_tensor(buffer, first, last, header))
        elif number == 11:
            inputs.append(_value_info(buffer, first, last))
        elif number == 12:
            outputs.append(_value_info(buffer, first, last))
    if depth == 0:
        for tensor in inputs:
            (header.overridable if tensor.name in initializers else header.inputs)[tensor.name] = tensor
        header.outputs.update({tensor.name: tensor for tensor in outputs})


def _read_node(buffer: Buffer, start: int, end: int, header: OnnxHeader, depth: int) -> None:
    operator, domain = "", ""
    for number, wire, _, first, last in _fields(buffer, start, end):
        if wire != _BYTES:
            continue
        if number == 4:
            operator = _text(buffer, first, last)
        elif number == 7:
            domain = _text(buffer, first, last)
        elif number == 5:
            _read_attribute(buffer, first, last, header, depth)
    header.operators.add(("" if domain == "ai.onnx" else domain, operator))


def _read_attribute(buffer: Buffer, start: int, end: int, header: OnnxHeader, depth: int) -> None:
    for number, wire, _, first, last in _fields(buffer, start, end):
        if wire == _BYTES and number in (6, 11):
            _read_graph(buffer, first, last, header, depth + 1)
        elif wire == _BYTES and number in (5, 10):
            _read_tensor(buffer, first, last, header)


def _read_tensor(buffer: Buffer, start: int, end: int, header: OnnxHeader) -> str:
    """The tensor's name; where its bytes lie in another file, that file is noted."""
    name, location, is_external = "", "", False
    for number, wire, value, first, last in _fields(buffer, start, end):
        if number == 8 and wire == _BYTES:
            name = _text(buffer, first, last)
        elif number == 14 and wire == _VARINT:
            is_external = value == _EXTERNAL
        elif number == 13 and wire == _BYTES:
            key, text = _entry(buffer, first, last)
            location = text if key == "location" else location
    if is_external:
        header.external[location] = None
    return name


def _entry(buffer: Buffer, start: int, end: int) -> tuple[str, str]:
    """A StringStringEntryProto."""
    parts = {number: _text(buffer, first, last) for number, _, _, first, last in _fields(buffer, start, end)}
    return parts.get(1, ""), parts.get(2, "")


def _value_info(buffer: Buffer, start: int, end: int) -> GraphTensor:
    name, element_type, shape = "", 0, None
    for number, _, _, first, last in _fields(buffer, start, end):
        if number == 1:
            name = _text(buffer, first, last)
        elif number == 2:
            element_type, shape = _tensor_type(buffer, first, last)
    return GraphTensor(name, element_type, shape)


def _tensor_type(buffer: Buffer, start: int, end: int) -> tuple[int, tuple[int, ...] | None]:
    """Datatype and shape of a TypeProto; 0 where it is no plain tensor's."""
    element_type, shape = 0, None
    for kind, _, _, first, last in _fields(buffer, start, end):
        if kind != 1:
            continue
        for number, _, value, inner_first, inner_last in _fields(buffer, first, last):
            if number == 1:
                element_type = value
            elif number == 2:
                shape = tuple(
                    _dimension(buffer, dim_first, dim_last)
                    for _, _, _, dim_first, dim_last in _fields(buffer, inner_first, inner_last)
                )
    return element_type, shape


def _dimension(buffer: Buffer, start: int, end: int) -> int:
    """-1 for a dimension that has a name, or nothing at all."""
    sizes = [value for number, wire, value, _, _ in _fields(buffer, start, end) if number == 1 and wire == _VARINT]
    # A varint holds a negative int64 as 2**64 less.
    return sizes[-1] if sizes and sizes[-1] < 2**63 else -1
