from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maas_client._cli.options import api_key_option
from maas_core.errors import NotHeld, WrongUse

if TYPE_CHECKING:
    from maas_core.manifest import Verification


@click.command(
    epilog="Example: maas verify build/bundles/digits_cnn/onnx",
    short_help="Climb the numerics ladder on finished bundles.",
)
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...", type=click.Path(path_type=Path))
@click.option("--seed", default=1, show_default=True, help="Of the fresh requests beside the golden ones.")
@click.option("--url", help="Hold this running server against the bundle (grpc://… or http://…); stamps nothing.")
@api_key_option
@click.option("--numbers-only", is_flag=True, help="Do not mind files changed after export; stamps nothing.")
@click.option("--offline", is_flag=True, help="Start no server: the rungs before serving alone; stamps nothing.")
@click.option("--data", type=click.Path(path_type=Path), help="onnx-int8: what the weights were trained on.")
@click.option("--bisect", is_flag=True, help="Name the first ONNX node that leaves the tolerance; stamps nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each bundle.")
def verify(
    *,
    bundles: tuple[Path, ...],
    seed: int,
    url: str | None,
    api_key: str | None,
    numbers_only: bool,
    offline: bool,
    data: Path | None,
    bisect: bool,
    as_json: bool,
) -> None:
    """Climbs the ladder torch, ONNX, served over HTTP, served over gRPC, and stamps each BUNDLE that passes.

    Each rung answers the golden samples and fresh seeded ones at several batch sizes. Names, datatypes, shapes, values
    and the task's own answer are compared. All bundles are looked at; exit code 1 where one diverges, with the first
    rung and output named.
    """
    if offline and url:
        raise WrongUse("--offline asks no server, --url asks one", "leave one of them out")
    from maas_export.verify import verify_bundle

    diverged = 0
    for bundle in bundles:
        try:
            if bisect:
                _bisect_and_report(bundle, as_json)
            else:
                found = verify_bundle(
                    bundle,
                    seed=seed,
                    url=url,
                    api_key=api_key,
                    numbers_only=numbers_only,
                    offline=offline,
                    data=data,
                )
                report_verification(bundle, found, as_json=as_json)
        except NotHeld as error:
            if len(bundles) == 1:
                raise
            click.echo(f"maas verify: {error.message}", err=True)
            diverged += 1
    if diverged:
        raise NotHeld(f"{diverged} of {len(bundles)} bundles did not pass")


def _bisect_and_report(bundle: Path, as_json: bool) -> None:
    from maas_export.bisection import bisect_bundle

    outcome = bisect_bundle(bundle)
    if as_json:
        click.echo(json.dumps({"bundle": str(bundle), **outcome.as_dict()}))
    if outcome.divergence is not None:
        raise NotHeld(f"{bundle}: {outcome.in_words}")
    if not as_json:
        click.echo(f"{bundle}: {outcome.in_words}")


def report_verification(bundle: Path, verification: Verification, *, as_json: bool) -> None:
    """Shows what a verification found.

    Raises:
        NotHeld: naming the first rung and output that diverged.
    """
    from maas_export.report import print_verification
    from maas_export.verify import first_divergence

    if as_json:
        click.echo(json.dumps({"bundle": str(bundle), **verification.model_dump(mode="json")}))
    else:
        print_verification(str(bundle), verification)
    if not verification.passed:
        raise NotHeld(f"{bundle} diverges first at {first_divergence(verification)}", "the bundle is not stamped")
