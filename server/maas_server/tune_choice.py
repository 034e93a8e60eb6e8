"""Writing what tuning chose beside the specs, in ``maas_export/models/serving.toml``, with the evidence.

The package that reads it is located, not imported: a server's machine may be without torch.
"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import tomlkit
from tomlkit.exceptions import TOMLKitError

from maas_core.errors import WrongUse
from maas_core.files import write_atomic
from maas_core.machine import machine_in_words
from maas_server.tune_search import Point
from maas_server.tune_slo import LatencyObjective

BUSY_SHARE = 0.25
"""Above this, what others do on the machine shows in the figures."""
CHOICES_FILE = Path("models") / "serving.toml"
_HEADER = """\
Serving parameters that `maas tune MODEL --slo …` chose, each with the evidence. The specs beside this file read it
(maas_export.serving_choice). After a change by hand: maas config --write, then export and publish again."""


def default_choices_path() -> Path:
    """The file that the specs read.

    Raises:
        WrongUse: where the specs are not installed here.
    """
    spec = importlib.util.find_spec("maas_export")
    if spec is None or spec.origin is None:
        raise WrongUse("the specs (maas_export) are not installed here", "name a file with --choices")
    return Path(spec.origin).parent / CHOICES_FILE


def busy_share() -> float:
    """The share of all processors, 0 to 1, that is in use now; takes a second."""
    return float(psutil.cpu_percent(interval=1.0)) / 100


def evidence_of(
    chosen: Point, present: Point, objective: LatencyObjective, busy: float, *, in_front: str
) -> dict[str, Any]:
    """What was seen, where and when; the present setting's figures as ``before``.

    Args:
        chosen: the point to write down.
        present: the setting that it replaces, or the same.
        objective: what was asked for.
        busy: the share of the machine that others used when the search began, 0 to 1.
        in_front: what stood in front of the server on the same machine: ``gateway`` or ``nothing``.
    """
    return {
        "objective": str(objective),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine_in_words(),
        "used_by_others": round(busy, 2),
        "in_front": in_front,
        "tool_version": version("triton-maas"),
        **_figures(chosen),
        "before": {**asdict(present.setting), **_figures(present)},
    }


def write_choice(path: Path, model: str, chosen: Point, evidence: dict[str, Any]) -> None:
    """Sets the table of ``model`` in the file; other tables and comments stay as they are.

    Raises:
        WrongUse: where the file is there and is not TOML, or cannot be written.
    """
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else _new_document()
        document[model] = _table({**asdict(chosen.setting), "evidence": evidence})
        write_atomic(path, tomlkit.dumps(document))
    except TOMLKitError as error:
        raise WrongUse(f"{path} is not TOML: {error}", "mend that line, or remove the file") from error
    except OSError as error:
        raise WrongUse(f"{path} cannot be written: {error.strerror}", "name another file with --choices") from error


def _new_document() -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    for line in _HEADER.splitlines():
        document.add(tomlkit.comment(line))
    return document


def _table(values: dict[str, Any]) -> Any:
    table = tomlkit.table()
    for key, value in values.items():
        table.add(key, _table(value) if isinstance(value, dict) else value)
    return table


def _figures(point: Point) -> dict[str, Any]:
    return {
        "callers": point.callers,
        "requests_per_s": round(point.requests_per_s, 1),
        "p50_ms": round(point.latency_ms["p50"], 3),
        "p99_ms": round(point.latency_ms["p99"], 3),
        "samples_per_execution": round(point.samples_per_execution, 2),
    }
