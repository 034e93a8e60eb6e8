"""``maas predict``: a served model on real files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from maas_client import Client, InferResult, Prediction

Row = dict[str, Any]


class _NotHeld(click.ClickException):
    """An input got no answer."""

    exit_code = 1


class _WrongUse(click.ClickException):
    """The command line, or a file named on it, cannot be used as it is."""

    exit_code = 2


class _NotReachable(click.ClickException):
    """The server did not answer."""

    exit_code = 3


@click.command(
    epilog="""Examples:

    maas predict digits three.png seven.jpg

    maas predict digits_cnn images.npz --json --output logits""",
)
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option("--url", default="grpc://127.0.0.1:8001", show_default=True, help="The server: grpc://, http://, ...")
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="Show only this output; may be repeated.")
@click.option("--model-version", type=click.IntRange(min=1), help="Ask this version, not the newest that is ready.")
@click.option("--timeout", "timeout_s", type=float, default=60.0, show_default=True, help="Seconds for each input.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list, in the order of the inputs.")
def predict(
    *,
    model: str,
    inputs: tuple[Path, ...],
    url: str,
    outputs: tuple[str, ...],
    model_version: int | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Call a served MODEL with files and show its answers.

    A file is a picture or a text for a model that takes bytes; .npz and .json files hold an array for each input.
    An input that fails is shown with its error, the others get their answers, and the exit code is 1.
    """
    from maas_client import Client, InputError, NotFoundError, ServerError, TransportError

    missing = [str(path) for path in inputs if not path.is_file()]
    if missing:
        raise _WrongUse(f"no such file: {', '.join(missing)}; give the paths of the files to send")
    try:
        with Client(url, timeout_s=timeout_s) as client:
            rows = _ask(client, model, inputs, outputs, model_version)
    except (InputError, NotFoundError) as error:
        raise _WrongUse(str(error)) from error
    except TransportError as error:
        raise _NotReachable(str(error)) from error
    except ServerError as error:
        raise _NotHeld(str(error)) from error
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else _table(rows))
    sys.exit(_NotHeld.exit_code if any("error" in row for row in rows) else 0)


def _ask(
    client: Client, model: str, inputs: tuple[Path, ...], outputs: tuple[str, ...], model_version: int | None
) -> list[Row]:
    from maas_client import InputError, ServerError
    from maas_client._check import check_outputs
    from maas_client._files import ARRAY_SUFFIXES, read_inputs
    from maas_client._predict import is_classifier

    spec = client.describe(model, model_version=model_version)
    check_outputs(spec, outputs)
    if is_classifier(spec) and not outputs and not any(path.suffix in ARRAY_SUFFIXES for path in inputs):
        predictions = client.predict(model, inputs, model_version=model_version)
        return [_row(str(path), prediction) for path, prediction in zip(inputs, predictions, strict=True)]
    rows: list[Row] = []
    for path in inputs:
        try:
            answer = client.infer(model, read_inputs(path, spec), outputs=outputs or None, model_version=model_version)
        except (InputError, ServerError) as error:
            rows.append({"input": str(path), "error": error.message, "model": model})
        else:
            rows += _rows(path, answer)
    return rows


def _rows(path: Path, answer: InferResult) -> list[Row]:
    """A row for each sample of a classifier's answer, or one for all outputs."""
    from maas_client import Prediction
    from maas_client._map import rows_of
    from maas_client._predict import is_classifier

    if not is_classifier(answer):
        values = {name: _plain(answer, name) for name in answer}
        told = {"model": answer.model_name, "version": answer.model_version}
        return [{"input": str(path), "outputs": values, **told}]
    samples = list(rows_of(answer, answer.batch_size))
    names = [str(path)] if len(samples) == 1 else [f"{path}[{number}]" for number in range(len(samples))]
    predictions = [Prediction.of(sample, answer.model_name) for sample in samples]
    return [_row(name, prediction) for name, prediction in zip(names, predictions, strict=True)]


def _row(name: str, prediction: Prediction) -> Row:
    told: Row = {"model": prediction.model_name}
    if prediction.model_version:
        told["version"] = prediction.model_version
    if prediction.error:
        return {"input": name, "error": prediction.error, **told}
    return {"input": name, "label": prediction.label, "score": prediction.score, **told}


def _plain(answer: InferResult, name: str) -> Any:
    array = answer[name]
    return (answer.text(name) if array.dtype.kind == "O" else array).tolist()


def _table(rows: list[Row]) -> str:
    cells = [("input", "label", "probability")]
    for row in rows:
        if "error" in row:
            cells.append((row["input"], "-", row["error"]))
        elif "label" in row:
            cells.append((row["input"], row["label"], f"{row['score']:.3f}"))
        else:
            cells.append((row["input"], "-", json.dumps(row["outputs"])))
    if not any("label" in row for row in rows):
        cells = [(name, value, "") for name, _, value in cells]
        cells[0] = ("input", "answer", "")
    widths = [max(len(line[column]) for line in cells) for column in range(2)]
    return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c}".rstrip() for a, b, c in cells)
