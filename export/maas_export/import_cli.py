from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(
    "import",
    epilog="Example: maas import resnet.onnx --name resnet --labels classes.txt",
    short_help="Turn a bare ONNX file into a verified bundle.",
)
@click.argument("file", type=click.Path(path_type=Path), metavar="MODEL.onnx")
@click.option("--name", required=True, help="What the model shall be called.")
@click.option("--batch/--no-batch", "is_batched", default=None, help="Whether the first axis counts samples.")
@click.option("--max-batch-size", type=click.IntRange(1), help="The largest batch.")
@click.option("--labels", type=click.Path(path_type=Path), help="Class names, one a line.")
@click.option(
    "--size", "sizes", multiple=True, metavar="AXIS=SIZE[,SIZE]", help="Of a dynamic axis; one size fixes it."
)
@click.option("--sample-inputs", type=click.Path(path_type=Path), help="An .npz with real inputs by name.")
@click.option("--tolerance", type=click.FloatRange(0), help="Absolute and relative, of FP32 outputs.")
@click.option("--instances", type=click.IntRange(1), default=1, show_default=True, help="Executions at the same time.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of one execution.")
@click.option("--no-reference", is_flag=True, help="Do not let onnx.reference judge.")
@click.option("--target", default="24.10", show_default=True, metavar="RELEASE", help="The Triton that shall serve.")
@click.option("--convert-opset", is_flag=True, help="Convert an opset or IR that is too new for it.")
@click.option("--seed", default=0, show_default=True, help="Of the golden samples.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def import_(
    file: Path,
    name: str,
    is_batched: bool | None,
    max_batch_size: int | None,
    labels: Path | None,
    sizes: tuple[str, ...],
    sample_inputs: Path | None,
    tolerance: float | None,
    instances: int,
    threads: int,
    no_reference: bool,
    target: str,
    convert_opset: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Writes and verifies build/bundles/NAME/onnx/ from an ONNX file alone.

    config.pbtxt comes from the graph; what the graph does not say is guessed, and each guess is told with its reason
    and the option that says otherwise. There is no torch module to compare with: the right answers are those of ONNX
    Runtime without optimizations, and of onnx.reference where it can run the graph.
    """
    from maas_export.imported.importer import import_onnx
    from maas_export.imported.plan import Wishes
    from maas_export.lint.targets import release_named
    from maas_export.report import show_guesses

    wishes = Wishes(
        target=release_named(target),
        convert_opset=convert_opset,
        is_batched=is_batched,
        max_batch_size=max_batch_size,
        labels=labels,
        sizes=_sizes(sizes),
        sample_inputs=sample_inputs,
        tolerance=tolerance,
        instances=instances,
        threads=threads,
        has_independent_rung=not no_reference,
    )
    bundle, is_new, guesses = import_onnx(file, name, wishes, seed=seed)
    show_guesses(bundle, is_new, guesses, as_json)
    if is_new:
        from maas_export.verify import verify_bundle
        from maas_export.verify_cli import report_verification

        report_verification(bundle, verify_bundle(bundle, seed=seed + 1), as_json=as_json)


def _sizes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """``AXIS=SIZE,SIZE`` as a mapping; the axis may hold an equals sign itself."""
    from maas_core.errors import WrongUse

    found = {}
    for text in texts:
        axis, _, numbers = text.rpartition("=")
        parts = numbers.split(",")
        if not axis or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise WrongUse(f"--size {text!r} is not AXIS=SIZE or AXIS=SIZE,SIZE", "e.g. --size length=8,32")
        found[axis] = tuple(int(part) for part in parts)
    return found
