"""The parent's side of :mod:`maas_export.own.worker`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from maas_core.errors import MaasError, NotHeld, WrongUse
from maas_core.golden import Sample, Tensors, load_golden, save_golden
from maas_export.own.source import Source

_TIMEOUT_S = 1800.0
RESULT_FILE, STAGE_FILE, REQUESTS_FILE, ANSWERS_FILE = "result.json", "stage", "requests.npz", "answers.npz"
_ERRORS: dict[int, type[MaasError]] = {int(error.exit_code): error for error in (WrongUse, NotHeld)}


def run_worker(folder: Path, source: Source, action: str, **asked: Any) -> dict[str, Any]:
    """Does one job in a process of its own.

    Args:
        folder: where job and results lie.
        source: the module.
        action: ``export`` or ``answer``.
        **asked: what else the action needs.

    Raises:
        MaasError: what the worker says, with its stage and exit code; or that it ended without a word.
    """
    job = folder / "job.json"
    job.write_text(json.dumps({"action": action, "source": asdict(source), **asked}))
    command = [sys.executable, "-P", "-m", "maas_export.own.worker", str(job)]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise MaasError(
            f"{source.said} was not done after {_TIMEOUT_S:g} s, stage {_stage(folder)!r}", "make the model smaller"
        ) from error
    job.unlink()
    try:
        result: dict[str, Any] = json.loads((folder / RESULT_FILE).read_bytes())
    except FileNotFoundError:
        raise MaasError(
            f"{source.said} ended its process in stage {_stage(folder)!r}, {_status(done.returncode)}",
            "run the file by itself to see why",
        ) from None
    if "error" in result:
        raise _ERRORS[result["exit_code"]](f"{source.said}, stage {_stage(folder)!r}: {result['error']}")
    for name in (RESULT_FILE, STAGE_FILE):
        (folder / name).unlink(missing_ok=True)
    return result


def answers_of(
    source: Source, weights: str, outputs: Sequence[str], requests: Sequence[Tensors]
) -> list[Tensors] | None:
    """What the module answers now, in a fresh process; ``None`` where it has other weights than ``weights``.

    Raises:
        MaasError: where it does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="maas-own-") as name:
        folder = Path(name)
        numbered = [Sample(str(position), inputs, {}) for position, inputs in enumerate(requests)]
        save_golden(folder / REQUESTS_FILE, numbered)
        result = run_worker(folder, source, "answer", weights=weights, outputs=list(outputs))
        if result["weights"] != weights:
            return None
        found = {sample.name: sample.outputs for sample in load_golden(folder / ANSWERS_FILE)}
    return [found[sample.name] for sample in numbered]


def _stage(folder: Path) -> str:
    path = folder / STAGE_FILE
    return path.read_text() if path.is_file() else "start"


def _status(returncode: int) -> str:
    return f"killed by signal {-returncode}" if returncode < 0 else f"exit status {returncode}"
