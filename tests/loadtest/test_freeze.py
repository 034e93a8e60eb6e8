"""A server that stands still for a second must show in the figures as long as it stood still.

Requests come at equal distances for T seconds, and for F of them the server is stopped. A request that comes t before
the end of the freeze waits t: a share of (F - t) / T waits longer than t, so that the percentile q is F - (1 - q) T.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_loadtest.distribution import read_distribution
from maas_loadtest.report_model import LoadReport, read_report
from tests.conftest import run_maas
from tests.loadtest.stub_server import MODEL, Stub, stub_server

RATE_PER_S = 100
FREEZE_S = 1.0
_WARMUP_S = 0.5
_AFTER_S = 2
"""The warm-up is over then."""


def frozen_run(protocol: str, seconds: int, folder: Path) -> tuple[LoadReport, float]:
    """The report, and how long the server stood still."""
    with stub_server(delay_ms=1) as stub, stub.freezing(_AFTER_S * RATE_PER_S, FREEZE_S) as lengths_s:
        report = _run(stub, protocol, seconds, folder)
    return report, lengths_s[0]


def _run(stub: Stub, protocol: str, seconds: int, folder: Path) -> LoadReport:
    url = stub.http if protocol == "http" else stub.grpc
    options = ("--rate", str(RATE_PER_S), "--duration", str(seconds), "--min-duration", str(seconds))
    options += ("--warmup", str(_WARMUP_S))
    target = ("--url", url, "--model", MODEL, "--report", folder)
    done = run_maas("load", "run", "steady", *options, *target, build=folder)
    assert (folder / "report.json").is_file(), done.stderr
    return read_report(folder)


def true_us(percent: float, freeze_s: float, seconds: float) -> float:
    return 1e6 * (freeze_s - (1 - percent / 100) * seconds)


def test_a_freeze_shows_in_the_percentiles(tmp_path: Path) -> None:
    seconds = 6
    report, freeze_s = frozen_run("http", seconds, tmp_path)
    response = read_distribution(report.response.histogram)
    # A sixth of the requests came while nobody answered: a generator that waits for answers sees a handful of them.
    # A busy machine only ever adds to that.
    late = response.counts[response.values_us > 1e5].sum()
    assert late / response.total >= 0.97 * (freeze_s - 0.1) / seconds
    p99_us = response.percentile_us(99)
    assert p99_us is not None
    assert p99_us >= 0.97 * true_us(99, freeze_s, seconds)


@pytest.mark.slow  # 40 s by the clock
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_percentiles_of_a_freeze_are_no_less_than_those_of_arithmetic(protocol: str, tmp_path: Path) -> None:
    """How much more they are depends on the machine: `python -m bench load` measures that on a quiet one."""
    seconds = 30
    report, freeze_s = frozen_run(protocol, seconds, tmp_path)
    response = read_distribution(report.response.histogram)
    for percent in (99.0, 99.9):
        found_us = response.percentile_us(percent)
        assert found_us is not None
        assert found_us >= 0.97 * true_us(percent, freeze_s, seconds)
