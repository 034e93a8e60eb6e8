from __future__ import annotations

import json
from pathlib import Path

import click

from maas_core.layout import DEFAULT_REPOSITORY


@click.command(
    epilog="Example: maas publish build/bundles/digits_cnn/onnx",
    short_help="Make verified bundles the next versions in the repository.",
)
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...", type=click.Path(path_type=Path))
@click.option("--repository", type=click.Path(path_type=Path), default=DEFAULT_REPOSITORY, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each bundle.")
def publish(bundles: tuple[Path, ...], repository: Path, as_json: bool) -> None:
    """Moves each verified BUNDLE into the model repository as the next version of its model, atomically.

    A bundle without the stamp of `maas verify`, or with one byte changed since, is refused. Publishing the same bytes
    again changes nothing. Of several, steps go before the ensembles that are made of them.
    """
    from maas_core.manifest import read_manifest
    from maas_rollout.publish import in_order
    from maas_rollout.publish import publish as publish_bundle

    models = {read_manifest(bundle).model for bundle in bundles}
    for bundle in in_order(bundles):
        outcome = publish_bundle(bundle, repository)
        version = outcome.published
        if as_json:
            facts = {"model": version.model, "version": version.version, "path": str(version.path)}
            facts |= {"digest": outcome.digest, "new": outcome.is_new, "left_behind": list(outcome.left_behind)}
            click.echo(json.dumps(facts))
        else:
            done = "published" if outcome.is_new else "the same bytes are there already"
            click.echo(
                f"{version.model}: version {version.version}, {done} ({version.path}, digest {outcome.digest[:12]})"
            )
        for ensemble in sorted(set(outcome.left_behind) - models):
            click.echo(
                f"NOTE: {ensemble} was verified with another {version.model}: export it again, and release both "
                f"together: maas rollout start {ensemble} --bundle … --bundle {bundle}",
                err=True,
            )
