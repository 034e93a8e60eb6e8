"""``make bench``: measures, prints the tables, writes JSON, Markdown and a picture to ``build/reports/``."""

from __future__ import annotations

import json
import platform
import signal
import sys
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from bench import models as all_models
from bench import startup, tools
from bench.client.cli import client
from bench.gateway.cli import gateway
from bench.goals import goals
from bench.loadgen.cli import load
from bench.models import Model
from bench.names import named
from bench.peers.peer import Peer
from bench.peers.python import BENTOML, FASTAPI, LITSERVE
from bench.peers.triton import NOOP_PEER, NOOP_PYTHON_PEER, TRITON
from bench.plot import draw
from bench.records import Records
from bench.runner import Runner, Settings
from bench.table import report
from maas_core.layout import build_dir
from maas_core.machine import cores, processor

PEERS = {
    "triton": TRITON,
    "noop": NOOP_PEER,
    "noop-python": NOOP_PYTHON_PEER,
    "fastapi": FASTAPI,
    "litserve": LITSERVE,
    "bentoml": BENTOML,
}
_MODELS = "digits_cnn,encoder,lstm"


@click.group(invoke_without_command=True)
@click.option(
    "--quick",
    is_flag=True,
    help="One round of one second each, a smaller encoder: shows that it works, measures nothing.",
)
@click.option("--rounds", default=3, show_default=True, help="How often everybody has a turn.")
@click.option(
    "--seconds",
    default=4.0,
    show_default=True,
    help="Length of one measurement (of the large model: three times that).",
)
@click.option(
    "--patience",
    default=10.0,
    show_default=True,
    help="Seconds that one measurement waits and is repeated while others use the machine.",
)
@click.option("--callers", default="1,16,64", show_default=True)
@click.option("--models", "model_names", default=_MODELS, show_default=True)
@click.option("--peers", "peer_names", default=",".join(PEERS), show_default=True)
@click.option("--name", default="bench", show_default=True, help="Of the files in build/reports/.")
@click.pass_context
def main(
    context: click.Context,
    quick: bool,
    rounds: int,
    seconds: float,
    patience: float,
    callers: str,
    model_names: str,
    peer_names: str,
    name: str,
) -> None:
    """Embedded Triton beside its limit, FastAPI, LitServe and BentoML: same cores, same ONNX files, one run."""
    if context.invoked_subcommand is not None:
        return
    # Ends every server that was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    counts = tuple(int(text) for text in callers.split(","))
    settings = (
        Settings(1, 1.0, counts, patience_s=0.0) if quick else Settings(rounds, seconds, counts, patience_s=patience)
    )
    chosen = list(named(peer_names, PEERS, "peer").values())
    makers = named(model_names, all_models.MODELS, "model")
    tools.require_programs()
    perf_analyzer = tools.install_perf_analyzer()
    if {FASTAPI, LITSERVE, BENTOML} & set(chosen):
        tools.install_peers()
    models = [_quick(one) if quick else make() for one, make in makers.items()]
    records = Records(environment=_environment(settings))
    records.weights_bytes = {model.name: model.weights_bytes for model in models}
    if perf_analyzer is None:
        records.missing.append("gRPC and shared memory: perf_analyzer could not be had")
    runner = Runner(settings, records, perf_analyzer)
    for number in range(1, settings.rounds + 1):
        for model in models:
            runner.run_turns(number, model, _peers_for(model, chosen))
            # Each time, so that a run that is stopped leaves what it has.
            _write(records, build_dir() / "reports", name)
        if TRITON in chosen:
            _measure_starts(models, records)
    text = _write(records, build_dir() / "reports", name)
    click.echo(f"\n{text}\nwritten: {build_dir() / 'reports' / name}.md, .json, .png")


def _quick(name: str) -> Model:
    model = all_models.encoder(layers=1) if name == "encoder" else all_models.MODELS[name]()
    return replace(model, batch_sizes=model.batch_sizes[-1:])


def _peers_for(model: Model, chosen: list[Peer]) -> list[Peer]:
    """The stand-ins are for the tiny model, where the server is what costs; only who keeps state serves sequences."""
    return [
        peer
        for peer in chosen
        if (peer.computes or model.name == all_models.digits_cnn.__name__) and (peer.stateful or not model.stateful)
    ]


def _measure_starts(models: list[Model], records: Records) -> None:
    names = ", ".join(model.name for model in models)
    smallest = min(models, key=lambda model: model.weights_bytes)
    records.three_models_s.setdefault(names, []).append(startup.start_models(models))
    records.three_models_s.setdefault(f"3 × {smallest.name}", []).append(startup.start_copies(smallest))


def _environment(settings: Settings) -> dict[str, Any]:
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "cpu": processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "peers": tools.versions(),
        "settings": asdict(settings),
    }


def _write(records: Records, folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    found = goals(records)
    text = report(records, found)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    goal_list = [{**asdict(goal), "reached": goal.reached} for goal in found]
    (folder / f"{name}.json").write_text(
        json.dumps({**asdict(records), "goals": goal_list}, indent=1), encoding="utf-8"
    )
    draw(records, folder / f"{name}.png")
    return text


main.add_command(client)
main.add_command(load)
main.add_command(gateway)


if __name__ == "__main__":
    main()
