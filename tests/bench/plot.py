"""The picture: throughput and latency of everybody, model by model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from bench.goals import STATEFUL
from bench.load_programs.result import Load
from bench.peers.triton import NOOP_PEER, TRITON
from bench.records import Records

_OURS, _STAND_IN, _OTHERS, _LIMIT = "#2a7a3b", "#b8b8b8", "#5b7db1", "#c0392b"


def draw(records: Records, path: Path) -> None:
    """Writes a PNG: a row for each model, throughput at the most callers left, latency over callers right."""
    models = list(dict.fromkeys(cell.model for cell in records.cells))
    figure, axes = plt.subplots(len(models), 2, figsize=(13, 3.9 * len(models)), squeeze=False, layout="constrained")
    for model, (left, right) in zip(models, axes, strict=True):
        callers = sorted({cell.callers for cell in records.cells if cell.model == model})
        _throughput(left, records, model, max(callers))
        _latency(right, records, model, callers)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _throughput(axes: Any, records: Records, model: str, callers: int) -> None:
    bars = []
    for peer, wire in _series(records, model):
        rate = records.rate(model, peer, wire, callers)
        if rate is not None:
            bars.append((f"{peer}, {wire}", rate, _colour(peer)))
    bars.sort(key=lambda bar: bar[1])
    drawn = axes.barh([bar[0] for bar in bars], [bar[1] for bar in bars], color=[bar[2] for bar in bars])
    axes.bar_label(
        drawn, labels=[f"{bar[1]:,.0f}" if bar[1] >= 100 else f"{bar[1]:.2f}" for bar in bars], padding=3, fontsize=8
    )
    bound, name = records.limit(model, NOOP_PEER.name, "HTTP", callers), "limit over HTTP"
    compute = records.best_compute(model)
    if bound is None and compute is not None and model != STATEFUL:
        bound, name = compute.rate, "ONNX Runtime in process"
    if bound is not None:
        axes.axvline(
            bound,
            color=_LIMIT,
            linestyle="--",
            label=f"{name}: {bound:,.0f}" if bound >= 100 else f"{name}: {bound:.2f}",
        )
        axes.legend(loc="lower right", fontsize=8)
    axes.set_title(f"{model}: requests per second, {callers} callers")
    axes.margins(x=0.14)
    axes.tick_params(labelsize=8)


def _latency(axes: Any, records: Records, model: str, callers: Sequence[int]) -> None:
    for index, (peer, wire) in enumerate(_series(records, model, stand_ins=False)):
        colour, style = f"C{index}", "-" if peer == TRITON.name else "--"
        for what, width in ((_p50, 1.8), (_p99, 0.7)):
            points = [(count, records.median(model, peer, wire, count, what)) for count in callers]
            seen = [(count, value) for count, value in points if value is not None]
            label = f"{peer}, {wire}" if what is _p50 else None
            axes.plot(
                *zip(*seen, strict=True), style, marker="o", markersize=3, color=colour, linewidth=width, label=label
            )
    axes.set(xscale="log", yscale="log", xlabel="callers", ylabel="ms")
    axes.set_xticks(callers, [str(count) for count in callers])
    axes.minorticks_off()
    axes.set_title(f"{model}: latency, p50 (thick) and p99 (thin)")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")


def _p50(load: Load) -> float:
    return load.p50_ms


def _p99(load: Load) -> float:
    return load.p99_ms


def _series(records: Records, model: str, *, stand_ins: bool = True) -> list[tuple[str, str]]:
    found = dict.fromkeys((cell.peer, cell.wire) for cell in records.cells if cell.model == model)
    return [one for one in found if stand_ins or _colour(one[0]) != _STAND_IN]


def _colour(peer: str) -> str:
    if peer == TRITON.name:
        return _OURS
    return _STAND_IN if peer.startswith("no-op") else _OTHERS
