"""The HTML page of a load test: what it says, and that it needs nothing but itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maas_loadtest.distribution import merged, read_distribution
from maas_loadtest.histogram import Counts, sparse
from maas_loadtest.html_report.report_page import report_html, write_report_html
from maas_loadtest.report_model import Latency, Percentile, StageFigures, Status
from tests.loadtest.html_text import Page
from tests.loadtest.made_reports import Made


def page_of(made: Made) -> Page:
    return Page(report_html(made.report()))


def test_the_verdict_stands_first_with_every_reason() -> None:
    reasons = ("p99: wanted <= 20 ms, got 25.1 ms", "errors: wanted <= 0.1%, got 0.5%")
    text = page_of(Made(status=Status.SLO_FAILED, reasons=reasons)).text
    assert text.index("SLO_FAILED") < min(text.index(reason) for reason in reasons)
    assert max(text.index(reason) for reason in reasons) < text.index("What happened")


def test_an_invalid_report_says_that_its_figures_must_not_be_quoted() -> None:
    assert "must not be quoted" in page_of(Made(status=Status.INVALID, reasons=("dropped: wanted 0, got 3",))).text


@pytest.mark.parametrize(
    "words",
    [
        "p50 4 ms",  # the median of a constant distribution of 4 ms
        "200 of 200 offered (100 %)",
        "maas load run server --model digits_cnn --rate 200",
        "SHA-256 of the schedule " + "5e" * 32,
        "seed 7",
        "A processor, 2 cores",
        "locust 2.47.0",
        "triton 2.51.0",
        "queue 350 µs",
        "digits_cnn version 1",
        "60 compared",
    ],
)
def test_the_page_tells(words: str) -> None:
    assert words in page_of(Made(spread=0.0)).text


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    page = page_of(Made(stages=(_stage(100.0), _stage(200.0))))
    assert not page.fetched
    assert not page.tags & {"script", "iframe", "img", "link", "object"}


@pytest.mark.parametrize(
    "title",
    [
        "Response time over time",
        "Throughput against offered load",
        "Histogram of response times",
        "Percentiles",
        "Time inside the server",
        "Batch size over time",
        "Batch sizes",
    ],
)
def test_every_chart_is_drawn_for_wide_and_for_narrow_windows(title: str) -> None:
    charts = [chart for chart in page_of(Made()).charts if chart.get("aria-label") == title]
    assert [chart.get("class") for chart in charts] == ["wide", "narrow"]


def test_what_a_server_says_cannot_change_the_page() -> None:
    message = "<script>alert(1)</script><b>& more"
    page = page_of(Made(errors_each=1, error_message=message))
    assert message in page.text
    assert "script" not in page.tags


def test_a_percentile_with_too_few_answers_is_no_claim() -> None:
    text = page_of(Made(windows=5, per_window=200)).text
    assert "no claim: 1,000 of 6,636 answers" in text
    assert "6,636: too few" in text


def test_the_cost_is_told_where_a_price_is_given() -> None:
    # 200 per second at 0.72 an hour: 0.0002 a second for 200 inferences, 1.00 for a million.
    assert "cost of a million 1 inferences, at 0.72 an hour" in page_of(Made(price_per_hour=0.72)).text
    assert "cost of a million" not in page_of(Made()).text


def test_versions_get_a_chart_once_they_change() -> None:
    changed = page_of(Made(windows=10, version_from=6))
    told = changed.told("Versions that answered")
    assert len([one for one in told if "version 1: 200/s" in one]) == 6
    assert len([one for one in told if "version 2: 200/s" in one]) == 4
    assert "1 (1,200), 2 (800)" in changed.text
    assert all(chart.get("aria-label") != "Versions that answered" for chart in page_of(Made()).charts)


def test_the_batch_size_is_told_over_time() -> None:
    told = page_of(Made(windows=4)).told("Batch size over time")
    assert told == [f"digits_cnn version 1: 2 at {at_s}" for at_s in (0.5, 1.5, 2.5, 3.5)]


def test_dropped_requests_and_errors_show_in_the_chart_of_the_throughput() -> None:
    told = page_of(Made(errors_each=4, dropped_each=3)).told("Throughput against offered load")
    assert "errors: 4 at 0.5" in told
    assert "dropped: 3 at 0.5" in told
    assert "offered: 207 at 0.5" in told
    assert "answered: 200 at 0.5" in told


def test_a_ramp_shows_its_knee() -> None:
    page = page_of(Made(stages=(_stage(100.0), _stage(200.0, knee=True), _stage(400.0, p99_us=90_000))))
    drawn = " ".join(element.text or "" for element in page.chart("p99 over offered load").iter("text"))
    assert "knee at 200/s" in drawn


def test_a_run_without_a_single_answer_has_a_page_too(tmp_path: Path) -> None:
    report = Made(windows=2, status=Status.INVALID, reasons=("answers: wanted >= 662, got 0",)).report()
    nothing = Latency(
        count=0,
        mean_us=0.0,
        min_us=0,
        max_us=0,
        percentiles=(Percentile(percent=99.0, latency_us=None, samples_needed=662, supported=False),),
        histogram="",
    )
    empty = report.model_copy(
        update={
            "response": nothing,
            "service": nothing,
            "lateness": nothing,
            "windows": (),
            "server": (),
            "server_windows": (),
            "server_note": "the server tells no statistics",
            "totals": report.totals.model_copy(update={"sent": 0, "answered": 0, "offered_per_s": 0.0}),
        }
    )
    text = Page(write_report_html(empty, tmp_path).read_text()).text
    assert "answers: wanted >= 662, got 0" in text
    assert "the server tells no statistics" in text


def test_percentiles_of_the_page_are_those_of_the_verdict() -> None:
    random = np.random.default_rng(3)
    for size in (1, 2, 9, 100, 10_001):
        counts = Counts()
        counts.add(sparse(np.clip(random.lognormal(9, 2.5, size), 1, 3_600_000_000).astype(np.int64)))
        read = read_distribution(counts.encode())
        assert read.total == size
        for percent in (0.1, 50, 90, 99, 99.9, 99.99, 100):
            assert read.percentile_us(percent) == counts.percentile(percent), (size, percent)
        assert merged([read, read]).total == 2 * size


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser_nothing_runs_out_of_the_window(width: int, tmp_path: Path) -> None:
    page = write_report_html(Made(errors_each=1, error_message="x" * 300, version_from=20).report(), tmp_path)
    picture = tmp_path / "page.png"
    size = f"--window-size={width},{4000 if width > 600 else 7000}"
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
        size,
    ]
    command = ["chromium", *options, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape[1] == width
    ground = pixels[2, 2]
    # The page's margin stays empty on both sides, and what lies between does not.
    assert (pixels[:, -8:] == ground).all()
    assert (pixels[:, :8] == ground).all()
    assert (pixels != ground).any()


def _stage(rate: float, *, p99_us: int = 9000, knee: bool = False) -> StageFigures:
    return StageFigures(
        at_s=rate / 10,
        length_s=10.0,
        offered_per_s=rate,
        achieved_per_s=rate,
        errors=0,
        dropped=0,
        p50_us=4000,
        p99_us=p99_us,
        knee=knee,
    )
