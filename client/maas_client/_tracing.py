"""OpenTelemetry spans and W3C trace context, for programs that use OpenTelemetry; nothing for all others.

A program that traces has imported ``opentelemetry`` before it makes a call: nothing is imported here. Names follow the
semantic conventions for RPC and HTTP clients; each attempt of a call is a span of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from maas_client._calls import InferCall
from maas_client._stream import StreamCall
from maas_client._url import Endpoint
from maas_client.errors import MaasClientError

_TRACE = "opentelemetry.trace"


def is_traced() -> bool:
    """Whether this program uses OpenTelemetry."""
    return _TRACE in sys.modules


@contextmanager
def attempt_span(call: InferCall, endpoint: Endpoint) -> Iterator[InferCall]:
    """A span round one attempt; yields the call with the headers that tell the server of it."""
    span = _start(call, endpoint)
    with sys.modules[_TRACE].use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield _told(call)
        except MaasClientError as error:
            _failed(span, error)
            raise


@contextmanager
def _stream_span(stream: StreamCall, endpoint: Endpoint) -> Iterator[StreamCall]:
    """It is not the caller's current span: his code runs between two answers."""
    span = _start(stream.call, endpoint)
    trace = sys.modules[_TRACE]
    try:
        yield replace(stream, call=_told(stream.call, trace.set_span_in_context(span)))
    except MaasClientError as error:
        _failed(span, error)
        raise
    finally:
        span.end()


def span_of_stream(stream: StreamCall, endpoint: Endpoint) -> AbstractContextManager[StreamCall]:
    """A span round a stream where this program traces; yields the stream to send."""
    return _stream_span(stream, endpoint) if is_traced() else nullcontext(stream)


def _start(call: InferCall, endpoint: Endpoint) -> Any:
    trace = sys.modules[_TRACE]
    attributes = {
        "rpc.system" if endpoint.is_grpc else "network.protocol.name": "grpc" if endpoint.is_grpc else "http",
        "server.address": endpoint.host,
        "server.port": endpoint.port,
        "maas.model": call.model,
        "maas.model_version": call.form.version,
        "maas.request_id": call.request_id,
    }
    return trace.get_tracer("maas_client").start_span(
        f"infer {call.model}",
        kind=trace.SpanKind.CLIENT,
        attributes={name: value for name, value in attributes.items() if value},
    )


def _told(call: InferCall, context: Any = None) -> InferCall:
    # Imported here: only programs that trace come here, and OpenTelemetry is no requirement.
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=context)
    return replace(call, headers=tuple((name.lower(), value) for name, value in carrier.items()))


def _failed(span: Any, error: MaasClientError) -> None:
    trace = sys.modules[_TRACE]
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(trace.Status(trace.StatusCode.ERROR, error.message))
