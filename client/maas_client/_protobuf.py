"""Three small things that the protobuf library does not offer.

Source: "Encoding", protobuf.dev: a field is a varint tag (number << 3 | wire type); wire type 2 is a varint length and
that many bytes; concatenated messages merge.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """A non-negative integer in base 128, least significant group first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def bytes_field(number: int, size_bytes: int) -> bytes:
    """What stands before the content of a ``bytes`` field."""
    return varint(number << 3 | _LENGTH) + varint(size_bytes)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        group = data[position]
        position += 1
        value |= (group & 0x7F) << shift
        if group < 0x80:
            return value, position
        shift += 7
    raise ValueError("a varint of more than ten bytes")


def split_bytes_field(data: bytes, number: int) -> tuple[bytes, list[memoryview]]:
    """Takes a top-level ``bytes`` field out of a serialized message.

    Returns:
        the message without the field, and the field's contents as views into ``data``.

    Raises:
        ValueError: ``data`` ends inside a field or is not a protobuf message.
    """
    view = memoryview(data)
    wanted_tag = number << 3 | _LENGTH
    rest: list[memoryview] = []
    found: list[memoryview] = []
    position, end = 0, len(data)
    try:
        while position < end:
            start = position
            tag, position = _read_varint(data, position)
            kind = tag & 7
            if kind == _LENGTH:
                size_bytes, position = _read_varint(data, position)
                content = position
                position += size_bytes
                if tag == wanted_tag:
                    found.append(view[content:position])
            elif kind == _VARINT:
                _, position = _read_varint(data, position)
            elif kind in {_FIXED64, _FIXED32}:
                position += 8 if kind == _FIXED64 else 4
            else:
                raise ValueError(f"wire type {kind} is not used by proto3")
            if tag != wanted_tag:
                rest.append(view[start:position])
    except IndexError as error:
        raise ValueError("the message ends inside a varint") from error
    if position != end:
        raise ValueError("the message ends inside a field")
    return b"".join(rest), found


def to_dict(message: Message) -> dict[str, Any]:
    """A message as Triton's HTTP endpoint writes it: proto field names, enums by name, 64-bit integers as numbers.

    Scalars and lists are there even when they have their default, sub-messages only when they are set.
    """
    present = {field.name for field, _ in message.ListFields()}
    return {
        field.name: _field_value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if field.name in present or (not _is_message(field) and field.containing_oneof is None) or _is_repeated(field)
    }


def _is_message(field: FieldDescriptor) -> bool:
    return bool(field.type == FieldDescriptor.TYPE_MESSAGE)


def _is_repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)


def _field_value(field: FieldDescriptor, value: Any) -> Any:
    if _is_message(field) and field.message_type.GetOptions().map_entry:
        of_value = field.message_type.fields_by_name["value"]
        return {key: _single_value(of_value, value[key]) for key in value}
    if _is_repeated(field):
        return [_single_value(field, element) for element in value]
    return _single_value(field, value)


def _single_value(field: FieldDescriptor, value: Any) -> Any:
    if _is_message(field):
        return to_dict(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value
