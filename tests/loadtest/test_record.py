"""``maas load record``, and traces as the replay scenario reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from maas_core.errors import WrongUse
from maas_loadtest import record_cli
from maas_loadtest.record_cli import record
from maas_loadtest.traces import Trace, TracedRequest, read_trace, write_trace
from tests.loadtest.commands import run

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ISO_LINE = (
    '{at}Z I 27663 infer_request.cc:905] "[request id: <id_unknown>] prepared: [0x0x7f48] request id: , '
    "model: {model}, requested version: {version}, actual version: 1, flags: 0x0, "
    "correlation id: {sequence}, batch size: {items}, "
    'priority: 0, timeout (us): 0\\noriginal inputs:\\n"\n'
)
SHORT_LINE = ISO_LINE.replace("{at}Z I", "I1122 {at}")


def metered(at_s: float, start: datetime = START, **fields: Any) -> str:
    at = (start + timedelta(seconds=at_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {
        "at": at, "tenant": "acme", "model": "digits", "version": "1", "asked_version": None,
        "side": "stable", "protocol": "http",
        "status": 200, "grpc_status": None, "duration_us": 1234, "items": "1", "attempts": 1, "kind": "infer",
        "sequence": None, "refused": None,
    }  # fmt: skip
    return json.dumps({**line, **fields}) + "\n"


def usage(folder: Path, *lines: str) -> Path:
    (folder / "usage").mkdir(parents=True, exist_ok=True)
    (folder / "usage" / "requests.jsonl").write_text("".join(lines))
    return folder


def test_what_the_gateway_metered_becomes_a_trace(tmp_path: Path) -> None:
    state = usage(
        tmp_path,
        # Lines stand in the order in which requests ended.
        metered(1.5, model="digits_cnn", asked_version="3", items="4", protocol="grpc"),
        metered(1.0),
        metered(2.25, sequence="s-7", model="counter"),
    )
    ended = run(record, tmp_path / "trace.jsonl", "--gateway", state)
    assert ended.code == 0
    assert "3 requests to digits, digits_cnn, counter in 1.2 s" in ended.out
    trace = read_trace(tmp_path / "trace.jsonl")
    assert list(trace.requests) == [
        TracedRequest(0.0, "digits", protocol="http"),
        TracedRequest(0.5, "digits_cnn", version=3, items=4, protocol="grpc"),
        TracedRequest(1.25, "counter", protocol="http", sequence="s-7"),
    ]


def test_probes_and_refused_requests_are_no_load(tmp_path: Path) -> None:
    state = usage(tmp_path, metered(0), metered(1, kind="probe"), metered(2, refused="shape", status=400), metered(3))
    ended = run(record, tmp_path / "trace.jsonl", "--gateway", state, "--json")
    assert ended.document["requests"] == 2
    assert ended.document["left_out"] == {"probe": 1, "refused": 1}


def test_files_that_were_set_aside_belong_to_it(tmp_path: Path) -> None:
    state = usage(tmp_path, metered(10))
    (state / "usage" / "requests-20261122T090005Z.jsonl").write_text(metered(0))
    assert run(record, tmp_path / "t.jsonl", "--gateway", state).code == 0
    assert [request.at_s for request in read_trace(tmp_path / "t.jsonl").requests] == [0.0, 10.0]


def test_the_last_minutes_only(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    state = usage(tmp_path, metered(-3600, now), metered(-30, now), metered(-20, now))
    assert run(record, tmp_path / "t.jsonl", "--gateway", state, "--last", "10m").code == 0
    assert [request.at_s for request in read_trace(tmp_path / "t.jsonl").requests] == [0.0, 10.0]


def test_live_traffic_is_what_comes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = usage(tmp_path, metered(-5))
    really_wait, passed_s = record_cli._wait, 0.0

    def wait(seconds: float, what: str) -> None:
        nonlocal passed_s
        really_wait(0.01, what)
        model = "fresh" if what == "recording" else "late"
        with (state / "usage" / "requests.jsonl").open("a") as file:
            file.write(metered(passed_s + seconds / 2, model=model))
        passed_s += seconds

    monkeypatch.setattr(record_cli, "_wait", wait)
    monkeypatch.setattr("maas_loadtest.record.now", lambda: START + timedelta(seconds=passed_s))
    ended = run(record, tmp_path / "t.jsonl", "--gateway", state, "--for", "90s", "--json")
    assert ended.document["models"] == ["fresh"]
    assert passed_s > 90


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    state = usage(tmp_path, metered(0), metered(1)[:-20])
    assert run(record, tmp_path / "t.jsonl", "--gateway", state, "--json").document["requests"] == 1


@pytest.mark.parametrize("line", ["{}\n", "no JSON\n", "[1]\n", metered(1, at="yesterday"), metered(1, model="../x")])
def test_a_broken_line_of_the_gateway_is_named(line: str, tmp_path: Path) -> None:
    ended = run(record, tmp_path / "t.jsonl", "--gateway", usage(tmp_path, metered(0), line))
    assert ended.code == 2
    assert "requests.jsonl, line 2: no metering line of the gateway" in ended.error
    assert not (tmp_path / "t.jsonl").exists()


def test_without_a_gateway_it_says_what_to_name(tmp_path: Path) -> None:
    ended = run(record, tmp_path / "t.jsonl", "--gateway", tmp_path / "nowhere")
    assert ended.code == 2
    assert "name the --state folder of `maas gateway`" in ended.error


def test_tritons_own_log_in_microseconds(tmp_path: Path) -> None:
    log = tmp_path / "triton.log"
    lines = [
        SHORT_LINE.format(at="09:00:00.250000", model="digits", version=-1, sequence=0, items=1),
        'I1122 09:00:00.250100 27663 infer_request.cc:132] "Setting state from PENDING to EXECUTING"\n',
        SHORT_LINE.format(at="09:00:00.375500", model="counter", version=2, sequence=77, items=3),
    ]
    log.write_text("".join(lines))
    assert run(record, tmp_path / "t.jsonl", "--triton-log", log).code == 0
    assert list(read_trace(tmp_path / "t.jsonl").requests) == [
        TracedRequest(0.0, "digits"),
        TracedRequest(0.1255, "counter", version=2, items=3, sequence="77"),
    ]


def test_a_log_of_whole_seconds_is_spread_and_said(tmp_path: Path) -> None:
    log = tmp_path / "triton.log"
    at = ["2026-11-22T09:00:00", "2026-11-22T09:00:00", "2026-11-22T09:00:01"]
    log.write_text("".join(ISO_LINE.format(at=one, model="m", version=-1, sequence=0, items=1) for one in at))
    ended = run(record, tmp_path / "t.jsonl", "--triton-log", log)
    assert "whole seconds only" in ended.out
    assert [request.at_s for request in read_trace(tmp_path / "t.jsonl").requests] == [0.0, 0.5, 1.0]


def test_only_the_models_that_are_named(tmp_path: Path) -> None:
    """An ensemble's steps stand in the log beside it."""
    log = tmp_path / "triton.log"
    names = ["digits", "digits_cnn", "digits_postprocess", "digits"]
    lines = [
        SHORT_LINE.format(at=f"09:00:0{number}.000000", model=name, version=-1, sequence=0, items=1)
        for number, name in enumerate(names)
    ]
    log.write_text("".join(lines))
    assert run(record, tmp_path / "t.jsonl", "--triton-log", log, "--model", "digits").code == 0
    assert read_trace(tmp_path / "t.jsonl").models == ["digits"]
    ended = run(record, tmp_path / "t.jsonl", "--triton-log", log, "--model", "other")
    assert ended.code == 2
    assert "there were requests to digits, digits_cnn" in ended.error


def test_a_log_without_requests_says_what_triton_needs(tmp_path: Path) -> None:
    log = tmp_path / "triton.log"
    log.write_text("I1122 09:00:00.250000 27663 server.cc:1] started\n")
    ended = run(record, tmp_path / "t.jsonl", "--triton-log", log)
    assert ended.code == 2
    assert "--log-verbose=1" in ended.error


def test_two_sources_at_once_are_wrong_use(tmp_path: Path) -> None:
    ended = run(record, tmp_path / "t.jsonl", "--triton-log", tmp_path / "log", "--gateway", tmp_path)
    assert ended.code == 2


def test_a_trace_written_by_hand_needs_no_header(tmp_path: Path) -> None:
    path = tmp_path / "hand.jsonl"
    path.write_text('{"at_s": 0, "model": "a"}\n\n{"at_s": 0.5, "model": "b", "items": 2}\n')
    assert read_trace(path).models == ["a", "b"]


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    requests = (TracedRequest(0.0, "a"), TracedRequest(0.123456, "b", 2, 3, "grpc", "s"))
    trace = Trace(requests, {"source": "a gateway"})
    write_trace(tmp_path / "t.jsonl", trace)
    read = read_trace(tmp_path / "t.jsonl")
    assert (tuple(read.requests), read.about) == (requests, {"source": "a gateway"})
    assert read.duration_s == 0.123456


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[]", "a list, not an object"),
        ("\udcff", "not JSON"),
        ('{"at_s": NaN, "model": "a"}', "NaN is no JSON"),
        ('{"at_s": -1, "model": "a"}', "at_s is to be a number of seconds, 0 or more; got -1"),
        ('{"at_s": 1e999, "model": "a"}', "at_s is to be"),
        ('{"at_s": true, "model": "a"}', "at_s is to be"),
        ('{"model": "a"}', "at_s is to be"),
        ('{"at_s": 1}', "model is to be the name of a model"),
        ('{"at_s": 1, "model": "../etc"}', "model is to be the name of a model"),
        ('{"at_s": 1, "model": "a", "items": 0}', "items is to be a whole number from 1"),
        ('{"at_s": 1, "model": "a", "items": 1.5}', "items is to be a whole number"),
        ('{"at_s": 1, "model": "a", "protocol": "udp"}', "protocol is to be one of http, grpc"),
        ('{"at_s": 1, "model": "a", "modle": "b"}', "unknown field 'modle'"),
        ('{"at_s": 0.2, "model": "a"}', "before the 0.5 of the request above it; sort the trace by at_s"),
        ('{"format": "maas-trace", "schema": 1}', "a header comes only once, before all requests"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_broken_line_of_a_trace_is_named(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    good = '{"format": "maas-trace", "schema": 1}\n{"at_s": 0.5, "model": "a"}\n'
    path.write_text(good + line + "\n", errors="surrogateescape")
    with pytest.raises(WrongUse) as caught:
        read_trace(path)
    assert f"{path}, line 3: " in caught.value.message
    assert words in caught.value.message


def test_a_trace_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"format": "maas-trace", "schema": 9}\n')
    with pytest.raises(WrongUse, match="line 1: wanted format 'maas-trace', schema 1"):
        read_trace(path)


def test_an_empty_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("")
    with pytest.raises(WrongUse, match="holds no request"):
        read_trace(path)
