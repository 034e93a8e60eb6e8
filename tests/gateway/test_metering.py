"""One line per request, its sums, and their agreement with what Triton itself counted."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner, Result

from maas_client import Client
from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.differences import append_difference, differences_path, read_mirrored
from maas_gateway.metering import RequestLine, read_requests, request_files, rotate_if_due
from maas_gateway.usage import agreements, sum_up, triton_successes
from maas_gateway.usage_cli import usage
from tests.gateway.poison_corpus import document, http, tensor
from tests.gateway.throwaway import Behind, status_of
from tests.waiting import STOOD_STILL_S, longest_standstill, wait_until

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def line(at: datetime = NOON, **changes: object) -> dict[str, object]:
    """A line as Envoy writes it, of a good request but for ``changes``."""
    fields: dict[str, object] = {
        "at": f"{at:%Y-%m-%dT%H:%M:%S}.123Z",
        "tenant": "acme",
        "key": "k1",
        "model": "digits",
        "version": "1",
        "asked_version": None,
        "side": "stable",
        "aimed_at": "stable",
        "protocol": "http",
        "status": 200,
        "grpc_status": None,
        "duration_us": 1500,
        "upstream_us": 1000,
        "items": "4",
        "bytes_in": 100,
        "bytes_out": 50,
        "attempts": 1,
        "kind": "infer",
        "sequence": None,
        "refused": None,
        "flags": "-",
    }
    return {**fields, **changes}


@pytest.fixture
def settings(tmp_path: Path) -> AdmissionSettings:
    return AdmissionSettings(state=tmp_path)


def write(settings: AdmissionSettings, *lines: dict[str, object], name: str = "requests.jsonl") -> Path:
    path = settings.requests_file.with_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    return path


@pytest.fixture
def lines_of(behind: Behind) -> Iterator[Callable[[int], list[RequestLine]]]:
    """The lines of inferences that were asked since the test began, when there are so many."""
    settings = AdmissionSettings(state=behind.gateway.state)
    with longest_standstill() as still_s:
        behind.wait_whole()
        # Envoy writes lines a while after it answered, in the order in which requests ended.
        mark = str(uuid.uuid4())
        assert status_of(behind.address, http(body="{", headers={"x-maas-sequence": mark})) == 400

        def inferences() -> list[RequestLine]:
            lines = [line for line in read_requests(settings) if line.kind == "infer"]
            since = list(itertools.dropwhile(lambda line: line.sequence != mark, lines))[1:]
            # Triton fails what it is asked while the machine stands still, and the client asks again.
            return since if still_s[0] < STOOD_STILL_S else [line for line in since if not failed_by_triton(line)]

        def read(count: int) -> list[RequestLine]:
            wait_until(lambda: len(inferences()) >= count, f"{count} lines")
            return inferences()

        yield read


def failed_by_triton(line: RequestLine) -> bool:
    return line.status == 500 or line.grpc_status == 13


def settled(metrics: str) -> dict[str, int]:
    """Triton's successes, when it has counted what it answered a moment ago."""
    found = triton_successes(metrics)
    while True:
        time.sleep(0.2)
        before, found = found, triton_successes(metrics)
        if found == before:
            return found


def test_a_line_says_who_called_what_and_how_it_went(
    behind: Behind, lines_of: Callable[[int], list[RequestLine]]
) -> None:
    array = np.ones((3, 5), np.float32)
    for url in (behind.gateway.url, behind.gateway.grpc):
        with Client(url) as client:
            client.infer("echo", x=array, model_version=1)
            client.infer("echo", x=array)
    lines = lines_of(4)
    assert [(line.protocol, line.asked_version) for line in lines] == [
        ("http", "1"), ("http", ""), ("grpc", "1"), ("grpc", "")
    ]  # fmt: skip
    for line in lines:
        assert (line.tenant, line.model, line.version, line.items, line.status) == ("anonymous", "echo", "1", 3, 200)
        assert (line.side, line.attempts, line.refused, line.succeeded) == ("stable", 1, "", True)
        assert line.bytes_in > array.nbytes
        assert line.bytes_out > array.nbytes
        assert 0 < line.upstream_us <= line.duration_us
        assert abs(line.at - datetime.now(UTC)) < timedelta(minutes=5)


def test_steps_of_a_sequence_carry_its_id(behind: Behind, lines_of: Callable[[int], list[RequestLine]]) -> None:
    for url in (behind.gateway.url, behind.gateway.grpc):
        with Client(url) as client, client.sequence("total") as sequence:
            sequence.infer(x=[[1.0]])
            sequence.infer(x=[[1.0]], last=True)
    steps = lines_of(4)
    assert all(step.sequence for step in steps)
    assert len({step.sequence for step in steps}) == 2


def test_what_was_refused_is_metered_once_with_its_reason(
    behind: Behind, lines_of: Callable[[int], list[RequestLine]]
) -> None:
    assert status_of(behind.address, http(body=document(tensor(shape=[1, 2**40])))) == 400
    (refused,) = lines_of(1)
    assert (refused.status, refused.refused, refused.attempts, refused.side) == (400, "shape", 0, "")
    assert not refused.succeeded


@pytest.mark.parametrize("spoilt", ["without Host", "with a fragment"])
def test_what_envoy_refuses_before_admission_is_in_nobodys_name(
    behind: Behind, lines_of: Callable[[int], list[RequestLine]], spoilt: str
) -> None:
    forged = {"x-maas-tenant": "victim", "x-maas-model": "m", "x-maas-items": "abc", "x-maas-kind": "infer"}
    wire = http(body=document(), headers=forged, path="/v2/models/echo/infer" + "#x" * (spoilt != "without Host"))
    wire = wire.replace(b"Host: x\r\n", b"") if spoilt == "without Host" else wire
    assert status_of(behind.address, wire) == 400
    (refused,) = lines_of(1)
    assert (refused.tenant, refused.model, refused.items, refused.refused) == ("", "", 0, "envoy")
    assert "victim" not in (behind.gateway.state / "usage" / "requests.jsonl").read_text()


def test_successes_agree_with_tritons_own_counters(
    behind: Behind, lines_of: Callable[[int], list[RequestLine]]
) -> None:
    metrics = behind.serving.ready["metrics"]
    before = settled(metrics)
    good, bad, refused = 7, 3, 2
    for url in (behind.gateway.url, behind.gateway.grpc):
        with Client(url) as client:
            for _ in range(good):
                client.infer("echo", x=[[1.0, 2.0]])
                client.infer("text", x=[["a"]])
            client.is_ready()
    for _ in range(bad):
        assert status_of(behind.address, http(body=document(tensor(name="z")))) == 400
    for _ in range(refused):
        assert status_of(behind.address, http(body="{")) == 400
    total = sum_up(lines_of(4 * good + bad + refused))
    models = ("echo", "text")

    def all_counted() -> bool:
        now = triton_successes(metrics)
        return all(now[model] - before.get(model, 0) >= 2 * good for model in models)

    wait_until(all_counted, "Triton has counted what it answered")
    found = {entry.model: entry for entry in agreements(total, {}, before, triton_successes(metrics))}
    for model in models:
        assert (found[model].metered, found[model].counted, found[model].beside) == (2 * good, 2 * good, 0)
        assert found[model].agrees
    (echo,) = [row for row in total.rows if row.model == "echo"]
    assert (echo.succeeded, echo.failed, echo.refused, echo.items) == (2 * good, bad, refused, 2 * good)


def test_rotation_loses_no_line(behind: Behind, lines_of: Callable[[int], list[RequestLine]]) -> None:
    settings = AdmissionSettings(state=behind.gateway.state)
    envoy = behind.gateway.ready["envoy_pid"]
    with Client(behind.gateway.url) as client:
        for turn in range(3):
            client.infer("echo", x=[[1.0]])
            lines_of(2 * turn + 1)
            aside = rotate_if_due(settings, lambda: os.kill(envoy, signal.SIGUSR1), most_bytes=1)
            assert aside is not None
            assert psutil.pid_exists(envoy)
            client.infer("echo", x=[[1.0]])
            wait_until(settings.requests_file.exists, f"a new file after turn {turn}")
            # Two within a second would have one name.
            wait_until(lambda aside=aside: datetime.now(UTC).strftime("%H%M%SZ") not in aside.name, "the next second")
    assert len(lines_of(6)) == 6
    assert len(request_files(settings)) >= 4


def test_rotation_waits_until_it_is_worth_it_and_drops_what_is_old(settings: AdmissionSettings) -> None:
    write(settings, line())
    old = write(settings, line(), name="requests-20200101T000000Z.jsonl")
    recent = write(settings, line(), name=f"requests-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl")
    reopened: list[bool] = []
    assert rotate_if_due(settings, lambda: reopened.append(True)) is None
    assert (old.exists(), recent.exists(), reopened) == (False, True, [])


def run(settings: AdmissionSettings, *arguments: str) -> Result:
    return CliRunner().invoke(usage, ["--state", str(settings.state), *arguments])


def test_usage_sums_by_tenant_model_and_day(settings: AdmissionSettings) -> None:
    write(settings, line(NOON - timedelta(days=40)), name="requests-20261014T000000Z.jsonl")
    write(
        settings,
        line(),
        line(attempts=3),
        line(status=503),
        line(grpc_status=13, protocol="grpc"),
        line(status=400, refused="shape", attempts=0),
        line(status=0, flags="DC"),
        line(tenant="other"),
        line(NOON + timedelta(days=1), model="echo"),
        line(kind="probe", model=None, items=None),
    )
    document = json.loads(run(settings, "--since", "2026-11-01", "--json").stdout)
    assert document["probes"] == 1
    first, echo, other = document["rows"]
    counts = {"succeeded": 2, "failed": 2, "refused": 1, "unanswered": 1, "items": 8, "retries": 2, "server_us": 2000}
    assert {name: first[name] for name in counts} == counts
    assert (first["tenant"], first["model"], first["day"]) == ("acme", "digits", "2026-11-22")
    assert (echo["model"], echo["day"]) == ("echo", "2026-11-23")
    assert other["tenant"] == "other"
    assert len(json.loads(run(settings, "--json").stdout)["rows"]) == 4
    table = run(settings, "--model", "digits").stdout
    assert "echo" not in table
    assert "besides: 1 probes (health, metadata), 2 retries" in table
    assert "acme" not in run(settings, "--tenant", "other").stdout


def test_a_line_that_is_still_being_written_waits_and_a_broken_one_is_told(settings: AdmissionSettings) -> None:
    path = write(settings, line(), line())
    path.write_text(path.read_text()[:-20])
    assert len(list(read_requests(settings))) == 1
    path.write_text("nonsense\n")
    result = run(settings)
    assert (result.exit_code, f"line 1 of {path} is no metering line" in result.output) == (1, True)


def test_mirrored_requests_explain_what_triton_counted_besides(settings: AdmissionSettings) -> None:
    write(settings, line(), line())
    path = differences_path(settings.state)
    path.parent.mkdir()
    append_difference(path, mirrored(NOON))
    assert read_mirrored(settings.state) == {"digits": 1}
    assert read_mirrored(settings.state, since=NOON + timedelta(days=1)) == {}
    total = sum_up(read_requests(settings))
    for counted, agrees in ((1, False), (2, True), (4, True), (5, False)):
        (found,) = agreements(total, read_mirrored(settings.state), {}, {"digits": counted})
        assert found.agrees is agrees, counted


def mirrored(at: datetime) -> dict[str, object]:
    return {"at": f"{at:%Y-%m-%dT%H:%M:%S}Z", "model": "digits", "equal": True}


def test_what_is_left_of_a_line_on_a_full_disk_spoils_no_other(settings: AdmissionSettings) -> None:
    path = differences_path(settings.state)
    path.parent.mkdir()
    append_difference(path, mirrored(NOON))
    # The kernel writes what fits, and says how much that was: as on a full disk.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        with pytest.raises(OSError, match="only 10 of"):
            append_difference(path, mirrored(NOON))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    append_difference(path, mirrored(NOON))
    assert read_mirrored(settings.state) == {"digits": 2}
    path.write_bytes(path.read_bytes()[:-20])
    assert read_mirrored(settings.state) == {"digits": 1}
    path.write_text("nonsense\n")
    result = run(settings, "--check", "http://127.0.0.1:1/metrics")
    assert (result.exit_code, f"line 1 of {path} does not tell" in result.output) == (1, True)


def test_a_check_that_fails_is_told(behind: Behind, settings: AdmissionSettings) -> None:
    write(settings, *[line(model="echo")] * 100_000)
    result = run(settings, "--check", behind.serving.ready["metrics"])
    assert result.exit_code == 1
    assert "echo: metered 100000, Triton counted" in result.output
    assert "the gateway and Triton do not agree about echo" in result.output
    result = run(settings, "--check", "http://127.0.0.1:1/metrics")
    assert (result.exit_code, "does not answer" in result.output) == (3, True)


def test_prometheus_finds_requests_by_tenant_and_outcome(behind: Behind) -> None:
    status_of(behind.address, http(body=document()))
    status_of(behind.address, http(body="{"))
    connection = HTTPConnection(behind.gateway.ready["admin"].removeprefix("http://"))
    connection.request("GET", "/stats/prometheus")
    text = connection.getresponse().read().decode()
    connection.close()
    assert 'envoy_maas_requests{tenant="anonymous",protocol="http",code="200",grpc_status="",refused=""}' in text
    assert 'envoy_maas_requests{tenant="anonymous",protocol="http",code="400",grpc_status="",refused="json"}' in text
    assert 'envoy_maas_bytes_in{tenant="anonymous"}' in text
