"""What the gateway admits: limits of size, time and number, and where keys and usage lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from maas_core.errors import WrongUse, first_problem

MIB = 2**20


class _Limits(RootModel[dict[str, bool | int | float]]):
    """What ``admission.json`` holds: numbers and truths by name."""


class AdmissionSettings(BaseModel):
    """Limits of one gateway. The defaults are those that docs/gateway-admission.md states.

    Attributes:
        state: folder of the gateway; keys lie in ``state/keys``, usage in ``state/usage``.
        keys_required: whether a call needs an API key; without it everybody is the tenant ``anonymous``.
        body_bytes: largest request body, HTTP or gRPC; more is answered 413.
        json_bytes: largest JSON text: a whole body without binary tensors, or the JSON in front of them.
        headers_kib: largest sum of request headers; more is answered 431.
        headers_count: most request headers; more is answered 431.
        headers_timeout_s: the time in which all headers must have come.
        request_timeout_s: the time in which the whole request must have come; later is answered 408.
        idle_timeout_s: a connection without a request, or a stream on which nothing moves, is closed after it.
        connections: most connections at a time.
        memory_bytes: of Envoy. Large bodies that are coming in may take half of it, others are answered 503; near all
            of it the largest streams of HTTP/2 are reset and every new request is answered 503.
        json_depth: deepest nesting of JSON.
        rank: most dims of a tensor.
        tensors: most inputs, and most outputs, of one request.
        statistics: whether Triton's statistics of a model may be read (they tell one tenant about the others).
        streams: whether ``ModelStreamInfer`` may reach the servers; never towards an embedded one, which it can end.
        keys_reload_s: how often the keys are looked at, so the longest time that a revoked key still works.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Path
    keys_required: bool = True
    body_bytes: Annotated[int, Field(ge=1024, le=1024 * MIB)] = 64 * MIB
    json_bytes: Annotated[int, Field(ge=1024)] = 4 * MIB
    headers_kib: Annotated[int, Field(ge=1, le=8192)] = 60
    headers_count: Annotated[int, Field(ge=10)] = 100
    headers_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    request_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    idle_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    connections: Annotated[int, Field(ge=1)] = 4096
    memory_bytes: Annotated[int, Field(ge=64 * MIB)] = 2048 * MIB
    json_depth: Annotated[int, Field(ge=4, le=64)] = 16
    rank: Annotated[int, Field(ge=1, le=32)] = 16
    tensors: Annotated[int, Field(ge=1)] = 64
    statistics: bool = False
    streams: bool = False
    keys_reload_s: Annotated[float, Field(gt=0)] = 1.0

    @property
    def keys_file(self) -> Path:
        """The store of keys and tenants (see :mod:`maas_gateway.key_store`)."""
        return self.state / "keys" / "keys.tsv"

    @property
    def requests_file(self) -> Path:
        """One JSON line per request (see :mod:`maas_gateway.metering`)."""
        return self.state / "usage" / "requests.jsonl"


def read_admission_settings(state: Path, *, keys_required: bool) -> AdmissionSettings:
    """The limits that ``STATE/admission.json`` gives, and the defaults for those that it does not.

    Raises:
        WrongUse: the file gives a limit that there is not, or one that is out of its range.
    """
    path = state / "admission.json"
    if not path.exists():
        return AdmissionSettings(state=state, keys_required=keys_required)
    try:
        limits = _Limits.model_validate_json(path.read_bytes()).root
        return AdmissionSettings.model_validate({"keys_required": keys_required, **limits, "state": state})
    except ValidationError as error:
        raise WrongUse(
            f"{path}: {first_problem(error, 'the file')}", "docs/gateway-admission.md lists the limits"
        ) from error
