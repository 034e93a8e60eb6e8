"""``python -m bench load``: the load generator against arithmetic, against perf_analyzer, against its own processor."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bench import tools
from bench.load_programs.perf_analyzer import PerfAnalyzer
from bench.loadgen import agreement, ceiling, freeze
from bench.loadgen.ours import OURS
from maas_core.errors import NotHeld, WrongUse
from maas_core.layout import build_dir
from maas_core.machine import machine_in_words

_PARTS = ("ceiling", "freeze", "agreement")


@click.command(epilog="Example: PYTHONPATH=tests python -m bench load --parts freeze")
@click.option("--parts", default=",".join(_PARTS), show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Not of the freeze test.")
@click.option("--seconds", type=click.FloatRange(3), default=12.0, show_default=True, help="Of one measurement.")
@click.option("--name", default="loadgen", show_default=True, help="Of the files in build/reports/.")
def load(parts: str, rounds: int, seconds: float, name: str) -> None:
    """Checks the load generator itself; exit code 1 where it does not hold what is asked of it."""
    chosen = parts.split(",")
    if unknown := [part for part in chosen if part not in _PARTS]:
        raise WrongUse(f"--parts: {unknown[0]!r} is none", f"there are {', '.join(_PARTS)}")
    program = tools.install_perf_analyzer() if {"freeze", "agreement"} & set(chosen) else None
    text, found, broken = [f"# The load generator, {machine_in_words()}", ""], {}, []
    for part in chosen:
        lines, raw, missed = _measure(part, program, rounds, seconds)
        text += [*lines, ""]
        found[part] = raw
        broken += missed
    path = _write("\n".join(text), found, name)
    click.echo("\n".join([*text, f"written: {path}"]))
    if broken:
        raise NotHeld("; ".join(broken), "a busy machine disturbs this: try again on a quiet one")


def _measure(
    part: str, program: PerfAnalyzer | None, rounds: int, seconds: float
) -> tuple[list[str], list[Any], list[str]]:
    """The table, what it is made of, and what did not hold."""
    if part == "ceiling":
        ceilings = ceiling.measure(rounds, seconds, _say)
        slow = [one for one in ceilings if one.by_cpu_per_s < ceiling.WANTED_PER_S]
        return ceiling.report(ceilings), ceilings, [f"ceiling over {one.protocol}" for one in slow]
    if part == "freeze":
        frozen = freeze.measure(program, _say)
        off = [one for one in frozen if one.found.tool == OURS and one.off > freeze.WITHIN]
        return freeze.report(frozen), frozen, [f"freeze over {one.protocol}: off by {one.off:.1%}" for one in off]
    if program is None:
        return ["## Beside perf_analyzer", "", "Not measured: perf_analyzer could not be had."], [], []
    pairs = agreement.measure(program, rounds, seconds, _say)
    apart = [pair for pair in pairs if not pair.tiny and not pair.agrees]
    return agreement.report(pairs), pairs, [f"differs from perf_analyzer: {pair.what}" for pair in apart]


def _say(words: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {words}", err=True)


def _write(text: str, found: dict[str, list[Any]], name: str) -> Path:
    folder = build_dir() / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    document = {part: [asdict(one) for one in entries] for part, entries in found.items()}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    path = folder / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path
