"""What can be asked of a server and what it answers, without saying how it travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maas_client._dtypes import Array

ParameterValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class WireTensor:
    """A checked tensor, ready to send: ``data`` is its bytes as :func:`maas_client._dtypes.encode` makes them."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class InferCall:
    """One inference request.

    Attributes:
        version: "" lets the server choose (the highest ready version).
        outputs: the names asked for; empty asks for all.
        parameters: the request's own, Triton's reserved ones included (``priority``, ``timeout``, ...).
    """

    model: str
    version: str
    inputs: tuple[WireTensor, ...]
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    request_id: str = ""


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


Call = InferCall | LiveCall | ReadyCall | MetadataCall | ConfigCall


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """One inference response."""

    model: str
    version: int
    request_id: str
    outputs: dict[str, Array]
    parameters: Mapping[str, ParameterValue]


def read_version(text: str) -> int:
    """The version that a server tells.

    Raises:
        ValueError: it is not a positive integer.
    """
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"it tells the version {text!r}")
    return int(text)


Answer = InferAnswer | bool | dict[str, Any]
