from __future__ import annotations

import json
from pathlib import Path

import click

from maas_core.errors import NotHeld


@click.command(
    epilog="Example: maas verify build/bundles/digits_cnn/onnx",
    short_help="Climb the numerics ladder on finished bundles.",
)
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...", type=click.Path(path_type=Path))
@click.option("--seed", default=1, show_default=True, help="Of the fresh requests beside the golden ones.")
@click.option("--url", help="Hold this running server against the bundle (grpc://… or http://…); stamps nothing.")
@click.option("--numbers-only", is_flag=True, help="Do not mind files changed after export; stamps nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each bundle.")
def verify(bundles: tuple[Path, ...], seed: int, url: str | None, numbers_only: bool, as_json: bool) -> None:
    """Climbs the ladder torch, ONNX, served over HTTP, served over gRPC, and stamps each BUNDLE that passes.

    Each rung answers the golden samples and fresh seeded ones at several batch sizes. Names, datatypes, shapes, values
    and the task's own answer are compared. Exit code 1 where a rung diverges, with the first one named.
    """
    for bundle in bundles:
        verify_and_report(bundle, seed=seed, url=url, numbers_only=numbers_only, as_json=as_json)


def verify_and_report(bundle: Path, *, seed: int, url: str | None, numbers_only: bool, as_json: bool) -> None:
    """Verifies one bundle and shows the outcome.

    Raises:
        NotHeld: naming the first rung and output that diverged.
    """
    from maas_export.report import print_verification
    from maas_export.verify import first_divergence, verify_bundle

    verification = verify_bundle(bundle, seed=seed, url=url, numbers_only=numbers_only)
    if as_json:
        click.echo(json.dumps({"bundle": str(bundle), **verification.model_dump(mode="json")}))
    else:
        print_verification(str(bundle), verification)
    if not verification.passed:
        raise NotHeld(f"{bundle} diverges first at {first_divergence(verification)}", "the bundle is not stamped")
