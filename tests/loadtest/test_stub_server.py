"""What the tests of the load generator rest on: the stub's delays, faults and counts are what it was told."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from maas_client import Client
from maas_client.errors import MaasClientError
from maas_loadtest.distribution import read_distribution
from maas_loadtest.report_model import read_report
from tests.conftest import run_maas
from tests.loadtest.stub_server import MODEL, Stub, stub_server

X = np.arange(8, dtype=np.float32).reshape(2, 4)


def urls(stub: Stub) -> list[str]:
    return [stub.http, stub.grpc]


def test_it_answers_with_its_input_no_sooner_than_told() -> None:
    with stub_server(delay_ms=20) as stub:
        for url in urls(stub):
            with Client(url) as client:
                started = time.perf_counter()
                answer = client.infer(MODEL, x=X)
                assert time.perf_counter() - started >= 0.02
                assert (answer["y"] == X).all()


def test_every_so_many_answers_fail_or_are_wrong() -> None:
    with stub_server(error_every=3, wrong_every=2) as stub:
        for url in urls(stub):
            with Client(url, retry=None) as client:
                seen = []
                for _ in range(6):
                    try:
                        seen.append("right" if (client.infer(MODEL, x=X)["y"] == X).all() else "wrong")
                    except MaasClientError:
                        seen.append("failed")
                assert seen == ["right", "wrong", "failed", "wrong", "right", "failed"]


def test_it_counts_what_it_answered() -> None:
    with stub_server() as stub:
        for url in urls(stub):
            with Client(url) as client:
                for _ in range(3):
                    client.infer(MODEL, x=X)
        assert stub.requests() == 6


def test_it_serves_one_at_a_time_where_told() -> None:
    with stub_server(delay_ms=30, instances=1) as stub, Client(stub.grpc) as client:
        client.describe(MODEL)
        started = time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: client.infer(MODEL, x=X), range(4)))
        assert time.perf_counter() - started >= 4 * 0.03


def test_frozen_it_answers_nobody_and_afterwards_everybody() -> None:
    with stub_server() as stub, Client(stub.http, timeout_s=20) as client:
        client.infer(MODEL, x=X)
        os.kill(stub.pid, signal.SIGSTOP)
        try:
            with Client(stub.http, timeout_s=0.3, retry=None) as hasty, pytest.raises(MaasClientError):
                hasty.infer(MODEL, x=X)
        finally:
            os.kill(stub.pid, signal.SIGCONT)
        assert (client.infer(MODEL, x=X)["y"] == X).all()


def test_it_is_frozen_for_as_long_as_told_once_so_many_requests_have_come() -> None:
    with stub_server() as stub, Client(stub.http, timeout_s=20) as client, stub.freezing(5, 0.2) as lengths_s:
        while not lengths_s:
            client.infer(MODEL, x=X)
        assert stub.requests() >= 5
        assert lengths_s[0] >= 0.2


# The freeze is measured over HTTP, and each such run takes 5 s.
@pytest.mark.parametrize("protocol", [pytest.param("http", marks=pytest.mark.slow), "grpc"])
def test_known_delays_are_found_again(protocol: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every tenth answer takes 60 ms, all others 20 ms; a busy machine only ever adds to that."""
    folder = tmp_path_factory.mktemp("run")
    with stub_server(delay_ms=20, slow_ms=60, slow_every=10) as stub:
        url = stub.http if protocol == "http" else stub.grpc
        options = ("--rate", "60", "--duration", "5", "--min-duration", "5", "--warmup", "0.5", "--report", folder)
        done = run_maas("load", "run", "steady", "--url", url, "--model", MODEL, *options, build=folder)
    assert (folder / "report.json").is_file(), done.stderr
    report = read_report(folder)
    service = read_distribution(report.service.histogram)
    assert report.totals.errors == 0
    assert service.values_us[0] >= 20_000
    slow_from_us = service.percentile_us(91)
    assert slow_from_us is not None
    assert slow_from_us >= 60_000
    assert report.server[0].compute_infer_us == pytest.approx(24_000, rel=0.02)
    assert report.agreement[0].agree
