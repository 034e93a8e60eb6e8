"""The journey of one model, each stage as the command that a user would type."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from maas_core.errors import MaasError, NotHeld, WrongUse
from maas_core.layout import bundle_dir
from maas_core.serving import serve

_NETWORK = "digits_cnn"
_PIPELINE = "digits"
_MODELS = {_NETWORK: "onnx", "digits_preprocess": "python", "digits_postprocess": "python", _PIPELINE: "ensemble"}
_LEAST_RIGHT = 0.9
_SUFFIXES = {".png", ".jpg", ".jpeg"}


def run_demo(pictures: Path, repository: Path) -> None:
    """Runs all stages and shows what each proved.

    Raises:
        MaasError: naming the stage that failed; the server is stopped in any case.
    """
    files = sorted(path for path in pictures.glob("*") if path.suffix.lower() in _SUFFIXES) if pictures.is_dir() else []
    if not files:
        raise WrongUse(f"there is no picture in {pictures}", "give a folder of PNG or JPEG files with --pictures")
    started = time.monotonic()
    proofs = [_train(), *_export(), _publish(repository)]
    _announce(["serve", "--repository", str(repository), "--models", _PIPELINE])
    with serve(repository, view="demo", models=[_PIPELINE]) as server:
        if server.failed:
            raise MaasError(f"the server could not load {server.failed}", "run `maas explain MODEL`")
        proofs.append(f"serve: real Triton, {len(server.models)} models ready {server.startup_s:.1f} s after its start")
        (answers,) = _maas("predict", _PIPELINE, *map(str, files), "--url", server.grpc, accept=(0, 1))
    proofs.append(f"predict: {_reading(answers)}")
    _show(answers)
    _require_right(answers)
    click.echo("\nWhat each step proved")
    for proof in proofs:
        click.echo(f"  {proof}")
    click.echo(f"The server is stopped. The journey took {time.monotonic() - started:.0f} s.")


def _train() -> str:
    (record,) = _maas("train", _NETWORK)
    return f"train: {record['evaluation']['value']:.2%} of held-out digits read right ({record['source']})"


def _export() -> list[str]:
    _maas("export", *_MODELS)
    proofs = []
    for model, bundle_format in _MODELS.items():
        manifest = json.loads((bundle_dir(model, bundle_format) / "manifest.json").read_bytes())
        rungs = manifest["verification"]["rungs"]
        worst = max((output["max_absolute"] for rung in rungs for output in rung["outputs"]), default=0.0)
        passed = " = ".join(rung["rung"] for rung in rungs if rung["rung"] != "files")
        proofs.append(f"export {model}: {passed} within the tolerance, largest difference {worst:.1e}")
    return proofs


def _publish(repository: Path) -> str:
    bundles = [str(bundle_dir(model, bundle_format)) for model, bundle_format in _MODELS.items()]
    published = _maas("publish", *bundles, "--repository", str(repository))
    versions = ", ".join(f"{facts['model']} {facts['version']}" for facts in published)
    return f"publish: every byte as it was verified; versions {versions}"


def _maas(*arguments: str, accept: tuple[int, ...] = (0,)) -> list[Any]:
    """Runs one ``maas`` command and returns its JSON answers; its own words go to the terminal where it fails."""
    _announce(arguments)
    command = [sys.executable, "-m", "maas_core", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in accept:
        raise MaasError(
            f"the step `maas {arguments[0]}` ended with exit code {done.returncode}", "its reason stands above"
        )
    return list(_json_values(done.stdout))


def _json_values(text: str) -> Iterator[Any]:
    """The JSON values that stand in ``text`` one after the other."""
    decoder, position = json.JSONDecoder(), 0
    while text[position:].strip():
        position += len(text[position:]) - len(text[position:].lstrip())
        value, position = decoder.raw_decode(text, position)
        yield value


def _announce(arguments: Sequence[str]) -> None:
    line = " ".join(["maas", *map(shlex.quote, arguments)])
    click.echo(f"$ {line if len(line) <= 110 else line[:107] + '...'}")


def _require_right(answers: list[dict[str, Any]]) -> None:
    named, right = _counts(answers)
    if right < _LEAST_RIGHT * named:
        raise NotHeld(f"only {right} of {named} pictures were read as their names say", "run `maas train digits_cnn`")


def _counts(answers: list[dict[str, Any]]) -> tuple[int, int]:
    """How many pictures are named after the digit that they show, and how many of these were read right."""
    named = [answer for answer in answers if Path(answer["input"]).name[:1].isdigit()]
    return len(named), sum(Path(answer["input"]).name[0] == answer.get("label") for answer in named)


def _reading(answers: list[dict[str, Any]]) -> str:
    named, right = _counts(answers)
    return f"{right} of {named} pictures that training never saw were read as their names say"


def _show(answers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("picture", "label", "probability")
    for answer in answers:
        if "error" in answer:
            table.add_row(Path(answer["input"]).name, "", f"refused: {answer['error']}")
        else:
            table.add_row(Path(answer["input"]).name, answer["label"], f"{answer['score']:.1%}")
    Console().print(table)
