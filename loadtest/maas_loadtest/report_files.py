"""Where reports lie, and writing them."""

from __future__ import annotations

import errno
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from maas_core.errors import WrongUse
from maas_core.files import write_atomic
from maas_core.layout import build_dir
from maas_loadtest.report_model import REPORT_FILE, LoadReport
from maas_loadtest.validity import NotValid


def reports_dir() -> Path:
    """All reports of load tests, one folder each."""
    return build_dir() / "reports" / "load"


def write_report(report: LoadReport, folder: str | None) -> Path:
    """Writes ``report.json`` and ``report.html``.

    Args:
        report: what to write.
        folder: where; None makes a folder with time and scenario as its name.

    Returns:
        The path of ``report.json``.

    Raises:
        NotValid: the folder can not be written, or the disk is full.
    """
    from maas_loadtest.html_report.report_page import write_report_html

    target = Path(folder) if folder else new_folder(report.scenario.name)
    try:
        write_atomic(target / REPORT_FILE, report.model_dump_json(indent=1))
        write_report_html(report, target)
    except OSError as error:
        mend = "make room and run again" if error.errno == errno.ENOSPC else "name another folder with --report"
        raise NotValid(f"the report can not be written to {target}: {error.strerror}", mend) from error
    return target / REPORT_FILE


def check_writable(folder: str | None) -> None:
    """Finds out before the run that its report could not be written.

    Raises:
        WrongUse: so it is.
    """
    target = Path(folder) if folder else reports_dir()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target) as probe:
            probe.write(b"?")
    except OSError as error:
        raise WrongUse(
            f"reports can not be written to {target}: {error.strerror}", "name another folder with --report"
        ) from error


def new_folder(of: str) -> Path:
    """A folder that is not there yet, named by the time (UTC) and what it is of."""
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{of}"
    folder = reports_dir() / name
    number = 1
    while folder.exists():
        number += 1
        folder = reports_dir() / f"{name}-{number}"
    return folder
