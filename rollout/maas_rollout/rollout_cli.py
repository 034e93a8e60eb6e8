from __future__ import annotations

import click


@click.group(
    epilog="Example: maas rollout start digits_cnn --bundle build/bundles/digits_cnn/onnx",
    short_help="Puts a new version in front of users, step by step.",
)
def rollout() -> None:
    """Puts a new version in front of users, step by step."""
