"""``maas load``: load tests. Each subcommand is a module of its own and is loaded only when it runs."""

from __future__ import annotations

import click

from maas_core.lazy_group import LazyGroup

_COMMANDS = {
    "run": "maas_loadtest.run_cli:run",
    "scenarios": "maas_loadtest.run_cli:scenarios",
    "compare": "maas_loadtest.compare_cli:compare",
    "peak": "maas_loadtest.peak_cli:peak",
    "record": "maas_loadtest.record_cli:record",
}


@click.command(
    cls=LazyGroup,
    modules=_COMMANDS,
    epilog="Example: maas load run server --model digits_cnn --rate 200",
    short_help="Load tests with a verdict.",
)
def load() -> None:
    """Load tests whose numbers can be defended: a schedule fixed in advance, and a verdict with every reason."""
