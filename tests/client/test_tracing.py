"""OpenTelemetry: spans and trace context where a program traces, nothing where it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from maas_client import AsyncClient, Client, UnavailableError
from maas_client.testing import FakeTransport
from tests.client.scripted import Scripted

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

Connect = Callable[..., Any]
X = [[1.0, 2.0]]


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    exporter.shutdown()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Callable[[], list[Any]]:
    exporter.clear()
    return lambda: [span for span in exporter.get_finished_spans() if span.name.startswith("infer")]


def test_each_attempt_is_a_span_and_the_server_is_told_of_it(
    scripted: Scripted, connect: Connect, spans: Callable[[], list[Any]]
) -> None:
    scripted.replies = [scripted.busy(), scripted.good()]
    with connect(scripted.url, timeout_s=20) as client:
        client.infer("m", x=X, request_id="r-1")
    failed, good = spans()
    assert good.name == "infer m"
    assert good.kind is trace.SpanKind.CLIENT
    assert good.attributes["maas.model"] == "m"
    assert good.attributes["maas.request_id"] == "r-1"
    assert good.attributes["server.address"] == "127.0.0.1"
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert failed.attributes["error.type"] == "UnavailableError"
    context = good.get_span_context()
    assert scripted.headers["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


def test_spans_belong_to_the_callers_also_from_threads(spans: Callable[[], list[Any]]) -> None:
    fake = FakeTransport()
    fake.model("m", inputs={"x": ("FP32", [-1, 2])}, outputs={"y": ("FP32", [-1, 2])}, max_batch_size=1)
    fake.answer("m", {"y": X})
    with (
        Client("grpc://anywhere", transport=fake) as client,
        trace.get_tracer("test").start_as_current_span("mine") as mine,
    ):
        client.infer("m", x=X)
        list(client.map("m", [X[0]] * 3))
        client.infer("m", x=X * 3, split=True)
    assert len(spans()) == 7
    assert {span.parent.span_id for span in spans()} == {mine.get_span_context().span_id}


async def read_all(stream: Any) -> int:
    return len([answer async for answer in stream])


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_stream_is_one_span_that_is_not_the_callers_own(kind: str, spans: Callable[[], list[Any]]) -> None:
    import asyncio

    fake = FakeTransport()
    fake.model(
        "m",
        inputs={"x": ("FP32", [2])},
        outputs={"y": ("FP32", [2])},
        config={"model_transaction_policy": {"decoupled": True}},
    )
    fake.answer("m", [{"y": X[0]}] * 2)
    if kind == "sync":
        for _ in Client("grpc://anywhere", transport=fake).stream("m", x=X[0]):
            assert not trace.get_current_span().get_span_context().is_valid
    else:
        assert asyncio.run(read_all(AsyncClient("grpc://anywhere", transport=fake).stream("m", x=X[0]))) == 2
    (span,) = spans()
    assert span.end_time is not None
    assert fake.calls[0].headers["traceparent"].split("-")[2] == f"{span.get_span_context().span_id:016x}"


def test_an_error_of_a_stream_is_in_its_span(spans: Callable[[], list[Any]]) -> None:
    fake = FakeTransport()
    fake.model("m", inputs={"x": ("FP32", [2])}, outputs={"y": ("FP32", [2])})
    fake.fail("m", UnavailableError("queue full"))
    with pytest.raises(UnavailableError):
        list(Client("grpc://anywhere", transport=fake).stream("m", x=X[0]))
    (span,) = spans()
    assert span.status.status_code is trace.StatusCode.ERROR


_UNTRACED = """
import sys
from maas_client import Client
from maas_client.testing import FakeTransport
fake = FakeTransport()
fake.model("m", inputs={"x": ("FP32", [2])}, outputs={"y": ("FP32", [2])})
fake.answer("m", {"y": [1, 2]})
Client("grpc://anywhere", transport=fake).infer("m", x=[1, 2])
print(fake.calls[0].headers, [name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_a_program_that_does_not_trace_pays_nothing() -> None:
    run = subprocess.run([sys.executable, "-c", _UNTRACED], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "{} []"
