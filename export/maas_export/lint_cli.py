from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maas_core.layout import DEFAULT_REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maas_export.lint.finding import Finding
    from maas_export.lint.fix import Fixed
    from maas_export.lint.inspection import Options


def _print_rules(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    from maas_export.lint.rules import rules_table

    if is_wanted:
        click.echo(rules_table(), nl=False)
        ctx.exit()


@click.command(
    epilog="Example: maas lint model_repository --target 26.06 --cores 8",
    short_help="Find, without a server, what Triton would refuse in a repository.",
)
@click.argument("repository", type=click.Path(path_type=Path), default=DEFAULT_REPOSITORY)
@click.option("--target", default="24.10", show_default=True, metavar="RELEASE", help="The Triton that shall serve.")
@click.option("--gpu", "has_gpu", is_flag=True, help="Its machine has a GPU.")
@click.option("--cores", type=click.IntRange(1), help="Its processor cores; by default this machine's.")
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="A further backend that it has.")
@click.option("--require-versions", is_flag=True, help="A model without any version is an error.")
@click.option("--ignore", "ignored", multiple=True, metavar="RULE", help="Leave the findings of a rule out.")
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option("--fix", "mends", is_flag=True, help="Mend what is safe to mend.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--rules", is_flag=True, is_eager=True, expose_value=False, callback=_print_rules, help="List all rules.")
def lint(
    repository: Path,
    target: str,
    has_gpu: bool,
    cores: int | None,
    backends: tuple[str, ...],
    require_versions: bool,
    ignored: tuple[str, ...],
    strict: bool,
    mends: bool,
    as_json: bool,
) -> None:
    """Checks REPOSITORY (or one model's folder, or a bundle) offline: configurations, files, and how they fit.

    An error is what Triton refuses; a warning loads and is wrong all the same. Exit code 1 where there is an error
    (with --strict a warning), 0 where there is none. All rules: docs/lint.md.
    """
    from maas_core.errors import ExitCode, WrongUse
    from maas_export.lint.finding import Severity
    from maas_export.lint.fix import fix
    from maas_export.lint.inspection import Options
    from maas_export.lint.linter import lint as find
    from maas_export.lint.rules import RULES
    from maas_export.lint.targets import release_named

    unknown = sorted(set(ignored) - set(RULES))
    if unknown:
        raise WrongUse(f"there is no rule {unknown[0]!r}", "docs/lint.md lists them")
    options = Options(
        release_named(target), has_gpu, cores or len(os.sched_getaffinity(0)), frozenset(backends), require_versions
    )
    models, findings = find(repository, options, ignored)
    fixed: list[Fixed] = []
    if mends:
        fixed = fix(repository, options, findings)
        models, findings = find(repository, options, ignored)
    if as_json:
        _print_json(repository, options, models, findings, fixed)
    else:
        _print_text(models, findings, fixed)
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    if any(found.severity in failing for found in findings):
        click.get_current_context().exit(ExitCode.NOT_HELD)


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    from maas_export.lint.finding import Severity

    return {f"{severity.value}s": sum(found.severity is severity for found in findings) for severity in Severity}


def _print_json(
    repository: Path, options: Options, models: int, findings: Sequence[Finding], fixed: Sequence[Fixed]
) -> None:
    import json

    report = {
        "repository": str(repository),
        "target": options.target.name,
        "models": models,
        **_counts(findings),
        "fixed": [{"file": str(entry.path), "what": entry.what} for entry in fixed],
        "findings": [found.to_json() for found in findings],
    }
    click.echo(json.dumps(report))


def _print_text(models: int, findings: Sequence[Finding], fixed: Sequence[Fixed]) -> None:
    from maas_export.lint.finding import Severity

    for entry in fixed:
        click.echo(f"{entry.path}: fixed: {entry.what}")
    for found in findings:
        if found.severity is Severity.NOTE:
            continue
        place = str(found.path) if found.line is None else f"{found.path}:{found.line}"
        click.echo(f"{place}: {found.severity.value}: {found.what} [{found.rule.id}]")
        click.echo(f"    why   {found.rule.why}")
        click.echo(f"    mend  {found.rule.mend}")
    notes = [found for found in findings if found.severity is Severity.NOTE]
    if notes:
        click.echo(f"note: {', '.join(found.model for found in notes)}: {notes[0].rule.why} [{notes[0].rule.id}]")
    counts = [f"{count} {name if count != 1 else name[:-1]}" for name, count in _counts(findings).items() if count]
    subject = f"{models} model{'' if models == 1 else 's'}"
    click.echo(f"{subject}: {', '.join(counts) or 'clean'}")
