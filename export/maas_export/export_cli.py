from __future__ import annotations

import gc
import json
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maas_core.errors import MaasError, NotHeld, WrongUse
from maas_export.formats.kinds import FORMATS, TENSORRT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from maas_core.manifest import QuantizationEntry
    from maas_export.own.exporter import Exported

_FOLDER = "hf:"


@click.command(
    epilog="""Examples:

    maas export digits_cnn digits_preprocess digits_postprocess digits

    maas export digits_cnn --format onnx-int8

    maas export net.py:SPEC

    maas export hf:./my-bert --task text-classification --name mood""",
    short_help="Turn trained models into verified bundles.",
)
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option("--all", "every", is_flag=True, help="Every model of the catalogue.")
@click.option("--format", "bundle_format", type=click.Choice(FORMATS), help="Of a network (default: onnx).")
@click.option("--data", type=click.Path(path_type=Path), help="onnx-int8: what the weights were trained on.")
@click.option("--seed", default=0, show_default=True, help="Of the golden samples.")
@click.option("--task", help="hf: what the model shall do, e.g. text-classification.")
@click.option("--name", help="Of a model that is not in the catalogue (default: its file's).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each bundle.")
def export(
    *,
    models: tuple[str, ...],
    every: bool,
    bundle_format: str | None,
    data: Path | None,
    seed: int,
    task: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Writes and verifies build/bundles/MODEL/FORMAT/ for each MODEL.

    A MODEL is one of the catalogue; or a spec in a file of yours, path/to/file.py:SPEC (docs/own-model.md); or a folder
    on this machine that Hugging Face's libraries saved, hf:DIRECTORY (docs/huggingface.md).

    A network needs weights (`maas train`), an ensemble needs the verified bundles of its steps. The formats onnx-int8,
    onnx-tensorrt and tensorrt are made from the verified onnx bundle, which is written first where it is not there. A
    bundle that does not pass the ladder stays without its stamp, and `maas publish` refuses it.
    """
    from maas_export.catalogue import all_models, in_order, model_named
    from maas_export.formats.choice import format_of, is_derived

    if every == bool(models):
        raise WrongUse("which model?", "give the names of some, or --all")
    outside = [argument for argument in models if _is_outside(argument)]
    _export_outside(outside, bundle_format, task=task, name=name, seed=seed, as_json=as_json)
    models = tuple(argument for argument in models if argument not in outside)
    if outside and not models:
        return
    if every and bundle_format is not None:
        raise WrongUse("--all takes every model in its own format", "name the networks that are wanted in another")
    wanted: list[tuple[str, str]] = []
    for model in map(model_named, in_order(models or tuple(all_models()))):
        chosen = format_of(model, bundle_format)
        if is_derived(chosen):
            wanted.append((model.name, model.bundle_format))
        wanted.append((model.name, chosen))
    for stage in _stages(wanted):
        _export_stage(stage, data=data, seed=seed, as_json=as_json)


def _is_outside(argument: str) -> bool:
    """Whether the argument names something that is not in the catalogue."""
    from maas_export.own.exporter import own_source

    return argument.startswith(_FOLDER) or own_source(argument) is not None


def _export_outside(
    arguments: list[str], bundle_format: str | None, *, task: str | None, name: str | None, seed: int, as_json: bool
) -> None:
    from maas_export.report import show_guesses

    if arguments and bundle_format not in (None, "onnx"):
        raise WrongUse(f"{arguments[0]} is exported as onnx, not {bundle_format}", "leave out --format")
    if name is not None and len(arguments) != 1:
        raise WrongUse("--name is of one model that is not in the catalogue", "name one, or leave out --name")
    if task is not None and not any(argument.startswith(_FOLDER) for argument in arguments):
        raise WrongUse("--task is of a folder", f"name one, as {_FOLDER}DIRECTORY")
    for argument in arguments:
        with _collector_paused():
            for done in _exported(argument, task, name, seed):
                show_guesses(done.bundle, done.is_new, done.guesses, as_json)
                if done.is_new:
                    from maas_export.verify import verify_bundle
                    from maas_export.verify_cli import report_verification

                    report_verification(done.bundle, verify_bundle(done.bundle, seed=seed + 1), as_json=as_json)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Torch makes millions of objects that live until the graph is written: to look through them again and again for
    cycles takes a fifth of an export, and finds little.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _exported(argument: str, task: str | None, name: str | None, seed: int) -> Iterator[Exported]:
    """The bundles of one argument, each written when it is asked for."""
    if argument.startswith(_FOLDER):
        from maas_export.huggingface.exporter import export_directory

        yield from export_directory(Path(argument.removeprefix(_FOLDER)), task, name=name, seed=seed)
        return
    from maas_export.own.exporter import export_own, own_source

    source = own_source(argument)
    if source is not None:
        yield export_own(source, name=name, seed=seed)


def _stages(wanted: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Models and formats, as many at a time as one server can hold, so that it need not start for each bundle.

    No bundle of a stage requires another of it, because that has to be verified first; no model is in a stage twice.
    """
    from maas_export.catalogue import model_named, requirements

    stages: list[dict[str, str]] = []
    for name, bundle_format in wanted:
        if not stages or stages[-1].keys() & {name, *requirements(model_named(name))}:
            stages.append({})
        stages[-1][name] = bundle_format
    return stages


def _export_stage(stage: Mapping[str, str], *, data: Path | None, seed: int, as_json: bool) -> None:
    """Writes the bundles of one stage, then verifies the new ones, all of them, with one server.

    Raises:
        NotHeld: of the first that diverged.
        MaasError: of the first that could not be written; those before it are verified all the same.
    """
    new: list[Path] = []
    problem: MaasError | None = None
    for name, bundle_format in stage.items():
        try:
            bundle = _export(name, bundle_format, data=data, seed=seed, as_json=as_json)
        except MaasError as error:
            problem = error
            break
        if bundle is not None:
            new.append(bundle)
    if new:
        _verify(new, data, as_json)
    if problem is not None:
        raise problem


def _export(name: str, bundle_format: str, *, data: Path | None, seed: int, as_json: bool) -> Path | None:
    """The bundle, where it is new."""
    with _collector_paused():
        # Here, because torch, which comes with it, makes many of these objects while it is imported.
        from maas_export.bundle import export_bundle

        bundle, is_new = export_bundle(name, seed=seed, bundle_format=bundle_format, data=data)
    if is_new:
        return bundle
    if as_json:
        click.echo(json.dumps({"model": name, "bundle": str(bundle), "new": False, "passed": True}))
    else:
        click.echo(f"{name}: unchanged and verified, nothing to do ({bundle})")
    return None


def _verify(bundles: Sequence[Path], data: Path | None, as_json: bool) -> None:
    from maas_core.manifest import read_manifest
    from maas_export.verify import scratch_server, verify_bundle
    from maas_export.verify_cli import report_verification

    manifests = {bundle: read_manifest(bundle) for bundle in bundles}
    served = [bundle for bundle in bundles if manifests[bundle].format != TENSORRT]
    diverged: list[NotHeld] = []
    with scratch_server(served) if served else nullcontext() as starting:
        for bundle, manifest in manifests.items():
            if manifest.quantization is not None and not as_json:
                _tell(manifest.quantization)
            try:
                with _collector_paused():
                    found = verify_bundle(bundle, seed=1, data=data, starting=starting)
                report_verification(bundle, found, as_json=as_json)
            except NotHeld as error:
                diverged.append(error)
    if diverged:
        raise diverged[0]


def _tell(found: QuantizationEntry) -> None:
    shrunk = 1 - found.size_bytes_int8 / found.size_bytes_fp32
    click.echo(f"size: {found.size_bytes_fp32:,} bytes before, {found.size_bytes_int8:,} after ({shrunk:.0%} less)")
    click.echo(
        f"{found.measure} on {found.samples} held-out samples: {found.fp32:.4f} before, {found.int8:.4f} after "
        f"(calibrated on {found.calibrated_on} training samples)"
    )
    for entry in found.speed:
        click.echo(
            f"one call of {entry.batch_size}: {entry.fp32_p50_ms:.3f} ms before, {entry.int8_p50_ms:.3f} ms after "
            "(p50, one thread)"
        )
    has = ", ".join(found.instructions) or "no instructions for 8-bit numbers"
    click.echo(f"measured on {found.processor} ({has})")
