"""``maas load``: load tests. Each subcommand is a module of its own and is loaded only when it runs."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "run": "maas_loadtest.run_cli:run",
    "scenarios": "maas_loadtest.run_cli:scenarios",
    "compare": "maas_loadtest.compare_cli:compare",
    "peak": "maas_loadtest.peak_cli:peak",
    "record": "maas_loadtest.record_cli:record",
}


class _Subcommands(click.Group):
    """Finds its commands by name and loads only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.command(
    cls=_Subcommands,
    epilog="Example: maas load run server --model digits_cnn --rate 200",
    short_help="Load tests with a verdict.",
)
def load() -> None:
    """Load tests whose numbers can be defended: a schedule fixed in advance, and a verdict with every reason."""
