"""The live table: what somebody at a terminal sees, and that nobody else sees anything."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import pytest

from maas_loadtest.live import LiveRow, LiveTable

ROW = LiveRow("digits_cnn", 200.0, 198.4, 1250.0, 20_500.0, 5_950, 3, 0, 7)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(rows: Sequence[LiveRow], monkeypatch: pytest.MonkeyPatch, elapsed_s: float = 30.0, columns: int = 120) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with LiveTable("server: digits_cnn", 60.0, terminal) as table:
        table.update(elapsed_s, rows, "generator 31 % of a core")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    return re.sub(r"[ \t]+", " ", text)


def test_a_terminal_shows_progress_and_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn([ROW], monkeypatch)
    assert "30 s of 60 s generator 31 % of a core" in text
    assert "offered/s answered/s p50 ms p99 ms errors dropped answered under way" in text
    assert "digits_cnn 200 198 1.25 20.50 3 0 5,950 7" in text


def test_a_narrow_terminal_shows_what_matters_most(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn([ROW], monkeypatch, columns=64)
    assert "digits_cnn 200 198 1.25 20.50 3 0" in text
    assert "under way" not in text


def test_warming_up_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "warm-up, 2 s to go" in drawn([], monkeypatch, elapsed_s=-2.0)


def test_no_answer_is_no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = LiveRow("silent", 200.0, 0.0, None, None, 0, 0, 12, 512)
    assert "silent 200 0 – – 0 12 0 512" in drawn([silent], monkeypatch)


def test_a_name_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = LiveRow("[bold]x[/bold]", 1.0, 1.0, 1.0, 1.0, 1, 0, 0, 0)
    assert "[bold]x[/bold]" in drawn([odd], monkeypatch)


def test_without_a_terminal_nothing_is_written() -> None:
    stream = io.StringIO()
    with LiveTable("server: digits_cnn", 60.0, stream) as table:
        table.update(1.0, [ROW])
        assert not table.shown
    assert not stream.getvalue()
