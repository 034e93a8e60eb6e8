"""The windows of a report that say something about its load."""

from __future__ import annotations

from maas_loadtest.report_model import LoadReport, Window


def loaded_windows(report: LoadReport) -> tuple[Window, ...]:
    """Without those after the end of the load, in which only the last answers came."""
    last = max((number for number, window in enumerate(report.windows) if window.offered), default=-1)
    return report.windows[: last + 1]
