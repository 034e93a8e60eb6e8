"""The commands of ``maas load`` in this process, as a user's shell would see them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from maas_loadtest.report_model import LoadReport


@dataclass(frozen=True)
class Ended:
    """Exit code and what was said."""

    code: int
    out: str
    error: str

    @property
    def document(self) -> dict[str, Any]:
        """What --json printed."""
        return dict(json.loads(self.out))


def run(command: click.Command, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> Ended:
    result = CliRunner(env=environment).invoke(command, [str(one) for one in arguments])
    # Whatever is no click error would be a traceback on a terminal.
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return Ended(result.exit_code, result.stdout, result.stderr)


def written(report: LoadReport, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report.model_dump_json())
    return folder
