"""The two ways in which things go wrong here: a model that cannot be loaded, and a request that cannot be answered."""

from __future__ import annotations

from enum import Enum


class LoadError(Exception):
    """The configuration or the ONNX file cannot be served; the text is what the operator reads."""


class Fault(Enum):
    """Whose fault a failed request is; decides the status that the caller sees (HTTP 400, 500, 503)."""

    CALLER = "INVALID_ARG"
    MODEL = "INTERNAL"
    STATE_GONE = "UNAVAILABLE"


class RequestError(Exception):
    """One request cannot be answered; the others of its batch can."""

    def __init__(self, message: str, fault: Fault = Fault.CALLER) -> None:
        super().__init__(message)
        self.fault = fault
