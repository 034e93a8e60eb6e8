"""``python -m bench gateway``: what the gateway costs, and what slow senders cost others who call through it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
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
from bench.names import named
from bench.peers.peer import GRPC, HTTP, Running
from bench.peers.triton import TRITON
from maas_core.layout import build_dir
from maas_gateway.routing import Upstream

_QUIET_SHARE = 0.08
_DIRECT, _GATEWAY = "direct", "gateway"
_WARM_UP_S = 2.0
_LONGER_WHERE_SLOW = 12
_HTTP_PERF = "HTTP by perf_analyzer"
_SETTINGS: dict[str, Callable[[], tuple[Model, ...]]] = {
    "digits_cnn": lambda: (all_models.digits_cnn(), all_models.digits_cnn(name="digits_cnn_2", instances=2)),
    "encoder": lambda: (all_models.encoder(),),
}
"""The tiny model twice: how many instances are best depends on what shares the cores with them."""
_GOALS = {
    "digits_cnn": {HTTP: 0.38, _HTTP_PERF: 0.38, GRPC: 0.50},
    "encoder": {HTTP: 0.03, GRPC: 0.03},
}
"""The most of the throughput that may be lost, by model and protocol."""


@dataclass(frozen=True)
class Turn:
    """One measurement.

    Attributes:
        setting: the name under which the model is served with one setting of its serving parameters.
        callers: how many requests were under way at the same time.
        front: what stood in front of the server.
        envoy_us: processor time of Envoy per answered request, microseconds; None where there was none.
    """

    model: str
    setting: str
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
    """The medians of one setting of a model, protocol and number of callers.

    Attributes:
        lost: share of the direct throughput, 0 to 1: the median over rounds of the ratio within a round.
        lost_of_best: the same of the direct throughput with the setting that is best there.
        goal: the most that may be lost; None where there is no goal.
    """

    model: str
    setting: str
    protocol: str
    callers: int
    front: str
    rate: float
    lost: float
    lost_of_best: float
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
@click.option("--models", "model_names", default="digits_cnn,encoder", show_default=True)
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
    settings = named(model_names, _SETTINGS, "model")
    tools.require_programs()
    perf_analyzer = tools.install_perf_analyzer()
    plan = _Plan(rounds, seconds, patience, perf_analyzer)
    turns: list[Turn] = []
    for model_name, settings_of in settings.items():
        small = quick and model_name == "encoder"
        models = (all_models.encoder(layers=1),) if small else settings_of()
        longer = _LONGER_WHERE_SLOW if models[0].slow and not quick else 1
        with ExitStack() as servers:
            served = [(model, servers.enter_context(TRITON.start(model))) for model in models]
            for protocol, callers in product(_protocols(protocols, models[0]), _callers(callers_list, models[0])):
                turns += _in_turns(replace(plan, seconds=seconds * longer), model_name, served, protocol, callers)
    _report(turns, name)


def _in_turns(
    plan: _Plan, model_name: str, served: Sequence[tuple[Model, Running]], protocol: str, callers: int
) -> list[Turn]:
    """All servers and fronts stand there all the time, and are loaded one after the other, each round in another order.

    Args:
        plan: how long and how often.
        model_name: whose settings are served.
        served: each setting and its server.
        protocol: by which it is called, and the generator.
        callers: how many at a time.
    """
    turns = []
    with ExitStack() as stack:
        places: dict[tuple[str, str], tuple[Front, Callable[[float], Load]]] = {}
        for (model, running), (name, front_of) in product(served, FRONTS.items()):
            server = Upstream(http=_address(running.post.url), grpc=running.grpc_url)
            front = stack.enter_context(front_of(server))
            load = _load_of(protocol, running, model, front, callers, plan.perf_analyzer)
            load(_WARM_UP_S)
            places[model.name, name] = front, load
        for number in range(plan.rounds):
            for setting, name in _order(number, list(places)):
                quiet(_QUIET_SHARE, plan.patience_s)
                key = (model_name, setting, protocol, callers, name)
                turns.append(_turn(key, *places[setting, name], plan.seconds))
                click.echo(f"round {number + 1}/{plan.rounds}: {_in_words(turns[-1])}", err=True)
    return turns


def _protocols(names: str, model: Model) -> list[str]:
    """The tiny model is called over HTTP by two generators: what is lost depends on what the generator itself takes."""
    return [name for name in names.split(",") if not (model.slow and name == _HTTP_PERF)]


def _callers(numbers: str, model: Model) -> list[int]:
    """What is lost depends on it: with few, the processors wait for callers; with many, Triton makes larger batches."""
    return sorted({min(int(number), model.most_callers) for number in numbers.split(",")})


def _order(number: int, places: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Everybody comes first, in the middle and last equally often."""
    return places[number % len(places) :] + places[: number % len(places)]


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


def _turn(key: tuple[str, str, str, int, str], front: Front, load: Callable[[float], Load], seconds: float) -> Turn:
    before_s, before = _cpu_s(front), front.answered()
    found = load(seconds)
    answered = front.answered() - before
    envoy_us = (_cpu_s(front) - before_s) / answered * 1e6 if answered else None
    return Turn(*key, found.rate, found.p50_ms, found.p99_ms, found.errors, envoy_us)


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
        f"{turn.setting} {turn.protocol}, {turn.callers} callers, {turn.front}: {turn.rate:.1f}/s, "
        f"p99 {turn.p99_ms:.2f} ms{envoy}, {turn.errors} errors"
    )


def costs(turns: list[Turn]) -> list[Cost]:
    """The medians, in the order in which they were measured."""
    found = []
    for key in dict.fromkeys((turn.model, turn.setting, turn.protocol, turn.callers, turn.front) for turn in turns):
        model, setting, protocol, callers, front = key
        mine = _turns_of(turns, *key)
        settings = dict.fromkeys(turn.setting for turn in turns if turn.model == model)
        direct = {name: _turns_of(turns, model, name, protocol, callers, _DIRECT) for name in settings}
        best = max(direct.values(), key=_rate)
        envoy = [turn.envoy_us for turn in mine if turn.envoy_us is not None]
        found.append(
            Cost(
                *key,
                rate=_rate(mine),
                lost=_lost(mine, direct[setting]),
                lost_of_best=_lost(mine, best),
                p99_ms=median(turn.p99_ms for turn in mine),
                envoy_us=median(envoy) if envoy else None,
                goal=_GOALS[model].get(protocol) if front == _GATEWAY else None,
            )
        )
    return found


def _turns_of(turns: list[Turn], model: str, setting: str, protocol: str, callers: int, front: str) -> list[Turn]:
    wanted = (model, setting, protocol, callers, front)
    return [turn for turn in turns if (turn.model, turn.setting, turn.protocol, turn.callers, turn.front) == wanted]


def _rate(turns: list[Turn]) -> float:
    return median(turn.rate for turn in turns)


def _lost(turns: list[Turn], base: list[Turn]) -> float:
    return median(1 - one.rate / other.rate for one, other in zip(turns, base, strict=True))


def _table(found: list[Cost]) -> list[str]:
    lines = [
        "| served as | protocol | callers | in front | requests/s | lost | p99 ms | Envoy, CPU µs per request "
        "| goal: at most lost |",
        "|---|---|--:|---|--:|--:|--:|--:|--:|",
    ]
    for cost in found:
        envoy = "" if cost.envoy_us is None else f"{cost.envoy_us:.0f}"
        lines.append(
            f"| {cost.setting} | {cost.protocol} | {cost.callers} | {cost.front} | {cost.rate:.1f} | {cost.lost:.1%} "
            f"| {cost.p99_ms:.2f} | {envoy} | {_verdict(cost.goal, cost.lost)} |"
        )
    return lines


def _table_of_the_tuned(found: list[Cost]) -> list[str]:
    """What the gateway costs those who tune the model for where it stands (``maas tune``, ``maas tune --gateway``)."""
    lines = [
        "| model | protocol | callers | best directly | requests/s | best through the gateway | requests/s | lost "
        "| goal: at most lost |",
        "|---|---|--:|---|--:|---|--:|--:|--:|",
    ]
    for key in dict.fromkeys((cost.model, cost.protocol, cost.callers) for cost in found):
        same = [cost for cost in found if (cost.model, cost.protocol, cost.callers) == key]
        direct, through = (
            max((cost for cost in same if cost.front == front), key=lambda cost: cost.rate)
            for front in (_DIRECT, _GATEWAY)
        )
        lines.append(
            f"| {direct.model} | {direct.protocol} | {direct.callers} | {direct.setting} | {direct.rate:.1f} "
            f"| {through.setting} | {through.rate:.1f} | {through.lost_of_best:.1%} "
            f"| {_verdict(through.goal, through.lost_of_best)} |"
        )
    return lines


def _verdict(goal: float | None, lost: float) -> str:
    return "" if goal is None else f"{goal:.0%}: {'reached' if lost <= goal else 'MISSED'}"


def _report(turns: list[Turn], name: str) -> None:
    found = costs(turns)
    tuned = ["", "Each with the setting that is best where it stands:", "", *_table_of_the_tuned(found)]
    text = "\n".join([*_table(found), *tuned, ""])
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
