"""The ``maas`` program. Its subcommands come from the packages, through the entry-point group ``maas.commands``."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import click

from maas_core.errors import ExitCode, WrongUse

GROUP = "maas.commands"
_EXTRA_OF_PACKAGE = {
    "maas_export": "export",
    "maas_server": "server",
    "maas_rollout": "rollout",
    "maas_gateway": "gateway",
    "maas_loadtest": "loadtest",
    "maas_client": "",
    "maas_core": "",
}
_INTERRUPTED = 130
"""128 + SIGINT, as a shell reports it."""


class _Commands(click.Group):
    """Finds subcommands by entry point and loads only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({entry.name for entry in entry_points(group=GROUP)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = next(iter(entry_points(group=GROUP, name=cmd_name)), None)
        if entry is None:
            return None
        try:
            command = entry.load()
        except ModuleNotFoundError as error:
            if _is_ours(error):
                raise
            return _missing(entry, error)
        if not isinstance(command, click.Command):
            raise TypeError(f"entry point {entry.value} of {GROUP} is not a click command")
        return command


def _mend_for(package: str, module: str | None) -> str:
    extra = _EXTRA_OF_PACKAGE.get(package, "")
    distribution = f"triton-maas[{extra}]" if extra else "triton-maas"
    return f"needs {module or package}: pip install '{distribution}'"


def _missing(entry: EntryPoint, error: ModuleNotFoundError) -> click.Command:
    """A command that stands in the list and says what it lacks when it is called."""
    mend = _mend_for(entry.module.partition(".")[0], error.name)

    @click.command(
        entry.name,
        short_help=mend,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    )
    @click.pass_context
    def stand_in(ctx: click.Context) -> NoReturn:
        raise WrongUse(mend)

    return stand_in


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 what was asked for did not hold, 2 wrong use, 3 server not reachable, "
    "4 a measurement that is not valid.",
)
@click.version_option(package_name="triton-maas")
def maas() -> None:
    """Model-as-a-Service: verified PyTorch models on the NVIDIA Triton Inference Server.

    The way of a model: train, export (which verifies), publish, serve, predict.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the program; every error that a user can mend is one line on stderr."""
    command = " ".join(["maas", *_command_words(sys.argv[1:] if arguments is None else arguments)])
    try:
        result: Any = maas.main(args=arguments, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(ExitCode.WRONG_USE)
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        click.echo(f"{command}: {message}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"{command}: interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except ModuleNotFoundError as error:
        package = _package_of(error)
        if package is None:
            raise
        click.echo(f"{command} {_mend_for(package, error.name)}", err=True)
        sys.exit(ExitCode.WRONG_USE)
    sys.exit(result if isinstance(result, int) else ExitCode.DONE)


def _command_words(arguments: list[str]) -> list[str]:
    return [word for word in arguments[:1] if not word.startswith("-")]


def _is_ours(error: ModuleNotFoundError) -> bool:
    return error.name is None or error.name.partition(".")[0] in _EXTRA_OF_PACKAGE


def _package_of(error: ModuleNotFoundError) -> str | None:
    """Which of our packages asked for the missing module; ``None`` where the fault is not a missing extra."""
    if _is_ours(error):
        return None
    traceback = error.__traceback__
    package = None
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        package = name if name in _EXTRA_OF_PACKAGE and name != "maas_core" else package
        traceback = traceback.tb_next
    return package
