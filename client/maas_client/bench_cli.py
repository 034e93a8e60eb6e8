"""``maas bench``: a quick look at the latency and throughput of a served model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maas_client._cli.exit_codes import NotValid, WrongUse, errors_as_exit_codes
from maas_client._cli.options import api_key_option

if TYPE_CHECKING:
    from maas_client import Client, InferResult
    from maas_client._base import Via
    from maas_client._bench.load import Aim, Level

_MOST_CALLERS = 256


def _counts(_context: click.Context, _parameter: click.Parameter, text: str) -> list[int]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 1,4,16") from error
    if not 1 <= counts[0] <= counts[-1] <= _MOST_CALLERS:
        raise click.BadParameter(f"{text!r}: from 1 to {_MOST_CALLERS} callers")
    return counts


@click.command(
    epilog="""Examples:

    maas bench digits_cnn

    maas bench digits three.png seven.jpg --concurrency 1,8 --json

    maas bench digits_cnn --batch-size 16 --plot speed.png""",
)
@click.argument("model")
@click.argument("inputs", nargs=-1, metavar="[INPUT...]")
@click.option("--url", default="grpc://127.0.0.1:8001", show_default=True, help="The server: grpc://, http://, ...")
@api_key_option
@click.option("--input", "given", multiple=True, metavar="NAME=VALUE", help="The value of a further input.")
@click.option("--column", metavar="NAME", help="Of a CSV file with several columns: the one with the observations.")
@click.option("--model-version", type=click.IntRange(min=1), help="Ask this version, not the newest that is ready.")
@click.option("--concurrency", default="1,4,16", show_default=True, callback=_counts, help="Numbers of callers.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=2.0, show_default=True, help="For each number.")
@click.option("--warmup", "warmup_s", type=click.FloatRange(0, 60), default=0.5, show_default=True, help="Before each.")
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True, help="Of generated inputs.")
@click.option(
    "--open-size", type=click.IntRange(min=1), default=16, show_default=True, help="Generated: size of open dimensions."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of generated inputs.")
@click.option("--via", type=click.Choice(["system_shared_memory"]), help="How tensors travel; else over the network.")
@click.option("--timeout", "timeout_s", type=float, default=30.0, show_default=True, help="Seconds for each request.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Draw latency and throughput over the number of callers.",
)
def bench(
    *,
    model: str,
    inputs: tuple[str, ...],
    url: str,
    api_key: str | None,
    given: tuple[str, ...],
    column: str | None,
    model_version: int | None,
    concurrency: list[int],
    seconds: float,
    warmup_s: float,
    batch_size: int,
    open_size: int,
    seed: int,
    via: Via,
    timeout_s: float,
    as_json: bool,
    plot_path: Path | None,
) -> None:
    """Measure a served MODEL: so many callers, each of which sends its next request when the last one is answered.

    Requests are made up from what the model says that it takes, or from INPUT as in `maas predict`: pictures, texts,
    .npz, .json, for a model that keeps a state a CSV file. A quick look from one process: for figures to rely on, use a
    load test. Exit code 4: requests failed, the figures say nothing.
    """
    # Imported here: the list of all commands needs none of it.
    from maas_client import Client
    from maas_client._bench.inputs import from_items, generated
    from maas_client._bench.load import Aim
    from maas_client._bench.report import Report
    from maas_client._cli.items import Target, given_values, open_items, shown
    from maas_client._cli.showing import to_json
    from maas_client._plots import check_png

    with errors_as_exit_codes(), Client(url, api_key=api_key, timeout_s=timeout_s, retry=None) as client:
        check_png(plot_path)
        spec = client.describe(model, model_version=model_version)
        target = Target(spec, given_values(given, spec))
        if inputs:
            if batch_size != 1:
                raise WrongUse("--batch-size is for generated inputs; leave it out, or pass no INPUT")
            requests = from_items(target, open_items(inputs, target), column)
        else:
            requests = generated(spec, target.given, seed=seed, batch_size=batch_size, open_size=open_size)
        aim = Aim(spec, requests, model_version, via)
        answer = _try_once(client, aim, is_generated=not inputs)
        levels = _measure(client, aim, concurrency, warmup_s, seconds)
    report = Report(
        model,
        answer.model_version,
        answer.digest,
        url,
        ", ".join(map(shown, inputs)) or "generated",
        batch_size,
        seed,
        seconds,
        levels,
    )
    click.echo(to_json(report.as_json(), indent=2) if as_json else report.table())
    if plot_path is not None:
        _draw(report.draw, plot_path)
    failed = next((level for level in levels if level.errors), None)
    if failed is not None:
        raise NotValid(f"{failed.errors} requests of {failed.concurrency} callers failed: {failed.first_error}")


def _try_once(client: Client, aim: Aim, *, is_generated: bool) -> InferResult:
    """One request before all others: what does not work at all is told at once, and which version answers."""
    from maas_client.errors import InvalidRequestError

    model, version, request = aim.spec.name, aim.model_version, aim.requests[0]
    try:
        if aim.spec.sequence:
            with client.sequence(model, model_version=version) as sequence:
                return sequence.infer(request, last=True)
        if aim.spec.decoupled:
            return list(client.stream(model, request, model_version=version))[-1]
        return client.infer(model, request, model_version=version, via=aim.via)
    except InvalidRequestError as error:
        mend = "; pass real inputs as INPUT" if is_generated else ""
        raise WrongUse(f"{error}{mend}") from error
    except IndexError:
        raise WrongUse(f"{model} gave no answer to the first request; pass another INPUT") from None


def _measure(client: Client, aim: Aim, concurrency: Sequence[int], warmup_s: float, seconds: float) -> list[Level]:
    from maas_client._bench.load import measure
    from maas_client._progress import Bar

    levels = []
    with Bar(f"measuring {aim.spec.name}", concurrency, None) as bar:
        for callers in concurrency:
            levels.append(measure(client, aim, callers, warmup_s=warmup_s, seconds=seconds))
            bar.advance()
    return levels


def _draw(draw: Any, path: Path) -> None:
    try:
        draw(path)
    except OSError as error:
        raise WrongUse(f"{path} cannot be written: {error.strerror or error}") from error
    click.echo(f"drawn: {path}", err=True)
