"""``python -m bench gateway``: what the gateway costs, and what slow senders cost others who call through it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import product
from statistics import median
from typing import Literal

import click
import psutil

from bench import models as all_models
from bench import tools
from bench.gateway.fronts import FRONTS, Front
from bench.gateway.slow_senders import slow_senders
from bench.load_programs import wrk
from bench.load_programs.perf_analyzer import PerfAnalyzer
from bench.load_programs.result import Load
from bench.machine import quiet
from bench.models import Model
from bench.peers.peer import GRPC, HTTP, Running
from bench.peers.triton import TRITON
from maas_core.layout import build_dir
from maas_gateway.routing import Upstream

_QUIET_SHARE = 0.08
_DIRECT = "direct"
_WARM_UP_S = 2.0
_LONGER_WHERE_SLOW = 12
_HTTP_PERF = "HTTP by perf_analyzer"
_ONE_INSTANCE = "digits_cnn_1"
_MODELS = {**all_models.MODELS, _ONE_INSTANCE: lambda: all_models.digits_cnn(instances=1)}
"""The tiny model twice: what is lost depends on how many instances share the cores with the gateway, too."""
_TINY_GOALS = {HTTP: 0.38, _HTTP_PERF: 0.38, GRPC: 0.50}
_LARGE_GOALS = {HTTP: 0.03, GRPC: 0.03}
_GOALS = {"digits_cnn": _TINY_GOALS, _ONE_INSTANCE: _TINY_GOALS, "encoder": _LARGE_GOALS}
"""The most of the throughput that may be lost, by model and protocol."""


@dataclass(frozen=True)
class Turn:
    """One measurement.

    Attributes:
        callers: how many requests were under way at the same time.
        front: what stood in front of the server.
        envoy_us: processor time of Envoy per answered request, microseconds; None where there was none.
    """

    model: str
    protocol: str
    callers: int
    front: str
    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
    envoy_us: float | None


@dataclass(frozen=True)
class Cost:
    """The medians of one model, protocol and number of callers.

    Attributes:
        lost: share of the direct throughput, 0 to 1: the median over rounds of the ratio within a round.
        goal: the most that may be lost; None where there is no goal.
    """

    model: str
    protocol: str
    callers: int
    front: str
    rate: float
    lost: float
    p99_ms: float
    envoy_us: float | None
    goal: float | None


@dataclass(frozen=True)
class _Plan:
    """How it is measured.

    Attributes:
        seconds: of one turn: short, because the speed of a machine that others use, too, changes from minute to minute.
        patience_s: how long to wait for a quiet machine before a turn.
    """

    rounds: int
    seconds: float
    patience_s: float
    perf_analyzer: PerfAnalyzer | None


@click.group("gateway", invoke_without_command=True, epilog="Example: python -m bench gateway --rounds 5")
@click.option("--quick", is_flag=True, help="One round of one second each: shows that it works, measures nothing.")
@click.option("--rounds", default=12, show_default=True, help="How often everybody has a turn.")
@click.option("--seconds", default=1.0, show_default=True, help="Of one turn; with the large model twelve times.")
@click.option("--callers", "callers_list", default="16,32,64", show_default=True, help="How many at a time, in turns.")
@click.option("--models", "model_names", default=f"digits_cnn,{_ONE_INSTANCE},encoder", show_default=True)
@click.option("--protocols", default=f"{HTTP},{_HTTP_PERF},{GRPC}", show_default=True)
@click.option("--patience", default=10.0, show_default=True, help="Seconds to wait for a quiet machine before a turn.")
@click.option("--name", default="gateway", show_default=True, help="Of the files in build/reports/.")
@click.pass_context
def gateway(
    context: click.Context,
    quick: bool,
    rounds: int,
    seconds: float,
    callers_list: str,
    model_names: str,
    protocols: str,
    patience: float,
    name: str,
) -> None:
    """One server called directly, through Envoy alone and through the gateway, in turns."""
    if context.invoked_subcommand is not None:
        return
    if quick:
        rounds, seconds, patience = 1, 1.0, 0.0
    tools.require_programs()
    perf_analyzer = tools.install_perf_analyzer()
    plan = _Plan(rounds, seconds, patience, perf_analyzer)
    turns: list[Turn] = []
    for model_name in model_names.split(","):
        model = all_models.encoder(layers=1) if quick and model_name == "encoder" else _MODELS[model_name]()
        longer = _LONGER_WHERE_SLOW if model.slow and not quick else 1
        with TRITON.start(model) as running:
            for protocol, callers in product(_protocols(protocols, model), _callers(callers_list, model)):
                turns += _in_turns(replace(plan, seconds=seconds * longer), running, model, protocol, callers)
    _report(turns, name)


def _in_turns(plan: _Plan, running: Running, model: Model, protocol: str, callers: int) -> list[Turn]:
    """All fronts stand there all the time, and are loaded one after the other, in another order in each round."""
    server = Upstream(http=_address(running.post.url), grpc=running.grpc_url)
    turns = []
    with ExitStack() as stack:
        fronts = {name: stack.enter_context(front(server)) for name, front in FRONTS.items()}
        loads = {
            name: _load_of(protocol, running, model, front, callers, plan.perf_analyzer)
            for name, front in fronts.items()
        }
        for load in loads.values():
            load(_WARM_UP_S)
        for number in range(plan.rounds):
            for name in _order(number):
                quiet(_QUIET_SHARE, plan.patience_s)
                turns.append(_turn(model.name, protocol, callers, name, fronts[name], loads[name], plan.seconds))
                click.echo(f"round {number + 1}/{plan.rounds}: {_in_words(turns[-1])}", err=True)
    return turns


def _protocols(names: str, model: Model) -> list[str]:
    """The tiny model is called over HTTP by two generators: what is lost depends on what the generator itself takes."""
    return [name for name in names.split(",") if not (model.slow and name == _HTTP_PERF)]


def _callers(numbers: str, model: Model) -> list[int]:
    """What is lost depends on it: with few, the processors wait for callers; with many, Triton makes larger batches."""
    return sorted({min(int(number), model.most_callers) for number in numbers.split(",")})


def _order(number: int) -> list[str]:
    """Everybody comes first, in the middle and last equally often."""
    names = list(FRONTS)
    return names[number % len(names) :] + names[: number % len(names)]


def _load_of(
    protocol: str, running: Running, model: Model, front: Front, callers: int, perf_analyzer: PerfAnalyzer | None
) -> Callable[[float], Load]:
    if protocol != HTTP:
        assert perf_analyzer is not None, "perf_analyzer could not be had"
        way: Literal["grpc", "http"] = "grpc" if protocol == GRPC else "http"
        return lambda seconds: perf_analyzer.run(
            getattr(front, way), model, running.served_as, callers, seconds, protocol=way, headers=front.headers
        )
    post = running.post
    url = post.url.replace(_address(post.url), front.http)
    moved = replace(post, url=url, headers={**post.headers, **front.headers})
    return lambda seconds: wrk.run(moved, callers, seconds, time_answers=model.slow)


def _turn(
    model: str,
    protocol: str,
    callers: int,
    front_name: str,
    front: Front,
    load: Callable[[float], Load],
    seconds: float,
) -> Turn:
    before_s, before = _cpu_s(front), front.answered()
    found = load(seconds)
    answered = front.answered() - before
    envoy_us = (_cpu_s(front) - before_s) / answered * 1e6 if answered else None
    return Turn(model, protocol, callers, front_name, found.rate, found.p50_ms, found.p99_ms, found.errors, envoy_us)


def _cpu_s(front: Front) -> float:
    if front.envoy_pid is None:
        return 0.0
    times = psutil.Process(front.envoy_pid).cpu_times()
    return float(times.user + times.system)


def _address(url: str) -> str:
    return url.removeprefix("http://").partition("/")[0]


def _in_words(turn: Turn) -> str:
    envoy = "" if turn.envoy_us is None else f", Envoy {turn.envoy_us:.0f} µs"
    return (
        f"{turn.model} {turn.protocol}, {turn.callers} callers, {turn.front}: {turn.rate:.1f}/s, "
        f"p99 {turn.p99_ms:.2f} ms{envoy}, {turn.errors} errors"
    )


def costs(turns: list[Turn]) -> list[Cost]:
    """The medians, in the order in which they were measured."""
    found = []
    for key in dict.fromkeys((turn.model, turn.protocol, turn.callers, turn.front) for turn in turns):
        mine = _turns_of(turns, *key)
        base = _turns_of(turns, *key[:3], _DIRECT)
        lost = median(1 - one.rate / other.rate for one, other in zip(mine, base, strict=True))
        envoy = [turn.envoy_us for turn in mine if turn.envoy_us is not None]
        goal = _GOALS.get(key[0], {}).get(key[1]) if key[3] == "gateway" else None
        rate, p99_ms = median(turn.rate for turn in mine), median(turn.p99_ms for turn in mine)
        found.append(Cost(*key, rate, lost, p99_ms, median(envoy) if envoy else None, goal))
    return found


def _turns_of(turns: list[Turn], model: str, protocol: str, callers: int, front: str) -> list[Turn]:
    wanted = (model, protocol, callers, front)
    return [turn for turn in turns if (turn.model, turn.protocol, turn.callers, turn.front) == wanted]


def _report(turns: list[Turn], name: str) -> None:
    lines = [
        "| model | protocol | callers | in front | requests/s | lost | p99 ms | Envoy, CPU µs per request "
        "| goal: at most lost |",
        "|---|---|--:|---|--:|--:|--:|--:|--:|",
    ]
    found = costs(turns)
    for cost in found:
        envoy = "" if cost.envoy_us is None else f"{cost.envoy_us:.0f}"
        goal = "" if cost.goal is None else f"{cost.goal:.0%}: {'reached' if cost.lost <= cost.goal else 'MISSED'}"
        lines.append(
            f"| {cost.model} | {cost.protocol} | {cost.callers} | {cost.front} | {cost.rate:.1f} | {cost.lost:.1%} "
            f"| {cost.p99_ms:.2f} | {envoy} | {goal} |"
        )
    text = "\n".join([*lines, ""])
    folder = build_dir() / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    document = {
        "time": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "cores": os.cpu_count(),
        "turns": [asdict(turn) for turn in turns],
        "costs": [asdict(cost) for cost in found],
    }
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    click.echo(f"{text}\nwritten: {folder / name}.md, .json")


gateway.add_command(slow_senders)
