"""From arrays to the bytes of requests, by the codecs of the client library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from maas_client import ModelSpec
from maas_client._build import Asked, Builder
from maas_client._calls import InferCall, ParameterValue
from maas_client._grpc_codec import encode_infer, encode_stream
from maas_client._http1 import encode_head
from maas_client._http_codec import HttpRequest, encode_call
from maas_client._stream import StreamCall, encode_generate
from maas_client._url import Endpoint
from maas_core.golden import Sample, Tensors
from maas_loadtest.prepared import PLACEHOLDER_32, PLACEHOLDER_64, Prepared

Headers = tuple[tuple[str, str], ...]
Tolerances = Mapping[str, tuple[float, float]]


class Encoder:
    """Makes the requests of one model.

    Args:
        spec: what it takes and gives.
        version: the version to ask for; "" leaves the choice to the server.
        endpoint: whom; its scheme decides the protocol.
        headers: of each HTTP request (gRPC has them with the call).
    """

    def __init__(self, spec: ModelSpec, version: str, endpoint: Endpoint, headers: Headers) -> None:
        self._spec = spec
        self._version = version
        self._endpoint = endpoint
        self._headers = headers
        self._builder = Builder(spec, version)

    def prepare(self, sample: Sample, tolerances: Tolerances, expected_version: str) -> Prepared:
        """The bytes of one sample.

        Raises:
            InputError: its values do not fit the model.
        """
        if self._spec.sequence:
            return replace(self._sequence(sample, tolerances), expected_version=expected_version)
        call = self._builder.build(Asked(inputs=sample.inputs))
        rows = len(next(iter(sample.inputs.values()))) if self._spec.max_batch_size else 1
        return Prepared(
            model=self._spec.name,
            version=self._version,
            kind="stream" if self._spec.decoupled else "infer",
            wires=(self._stream(call) if self._spec.decoupled else self._infer(call),),
            items=rows,
            expected=(sample.outputs,) if sample.outputs else (),
            expected_version=expected_version,
            tolerances=tolerances,
        )

    def _sequence(self, sample: Sample, tolerances: Tolerances) -> Prepared:
        is_short = self._spec.sequence_id_datatype in ("TYPE_INT32", "TYPE_UINT32")
        placeholder = PLACEHOLDER_32 if is_short else PLACEHOLDER_64
        is_text = self._spec.sequence_id_datatype == "TYPE_STRING"
        count = len(next(iter(sample.inputs.values())))
        wires = []
        for step in range(count):
            parameters: dict[str, ParameterValue] = {
                "sequence_id": str(placeholder) if is_text else placeholder,
                "sequence_start": step == 0,
                "sequence_end": step == count - 1,
            }
            call = self._builder.build(Asked(inputs=_row(sample.inputs, step)))
            wires.append(self._infer(replace(call, parameters=parameters)))
        return Prepared(
            model=self._spec.name,
            version=self._version,
            kind="sequence",
            wires=tuple(wires),
            items=count,
            placeholder=placeholder,
            expected=tuple(_row(sample.outputs, step) for step in range(count)) if sample.outputs else (),
            tolerances=tolerances,
        )

    def _infer(self, call: InferCall) -> bytes:
        return encode_infer(call) if self._endpoint.is_grpc else self._http(encode_call(call))

    def _stream(self, call: InferCall) -> bytes:
        if self._endpoint.is_grpc:
            return encode_stream(call)
        return self._http(encode_generate(StreamCall(call, self._spec)))

    def _http(self, request: HttpRequest) -> bytes:
        return encode_head(request, self._endpoint, self._headers) + b"".join(request.body)


def _row(tensors: Tensors, row: int) -> Tensors:
    return {name: value[row : row + 1] for name, value in tensors.items()}
