"""What can be asked of a server and what it answers, without saying how it travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maas_client._dtypes import Array

ParameterValue = bool | int | float | str


@dataclass(slots=True, eq=False)
class RequestForm:
    """What requests that differ only in their values have in common.

    Attributes:
        model: the model's name.
        version: "" lets the server choose (the highest ready version).
        inputs: name, datatype and shape of each input.
        outputs: the names asked for; empty asks for all.
        heads: what the codecs made of this form, by protocol, so that they make it once.
    """

    model: str
    version: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[str, ...] = ()
    heads: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class InferCall:
    """One inference request.

    Attributes:
        form: names, datatypes and shapes.
        data: the bytes of each input, in the form's order, as :func:`maas_client._dtypes.encode` makes them.
        parameters: the request's own, Triton's reserved ones included (``priority``, ``timeout``, ...).
        request_id: comes back with the answer.
    """

    form: RequestForm
    data: tuple[bytes | memoryview, ...]
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    request_id: str = ""

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


Call = InferCall | LiveCall | ReadyCall | MetadataCall | ConfigCall


@dataclass(slots=True)
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
