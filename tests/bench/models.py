"""The models that are measured: their ONNX files, their Triton configurations, their inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx

from bench import graphs
from maas_core.config import dump_config, read_config
from maas_core.layout import build_dir, bundle_dir

Array = npt.NDArray[Any]
Draw = Callable[[np.random.Generator], Array]
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        name: in the tables and in Triton.
        path: the ONNX file, the same for everybody.
        config: the whole ``config.pbtxt`` that embedded Triton serves it with.
        input_name: its only input that a caller sends.
        draw: makes one row of that input, batch axis of 1 included.
        output_name: the output that is compared.
        batch_sizes: what is tried in process, to find the best.
        peer_threads: ONNX Runtime's threads in each of the peers' workers.
        peer_workers: the peers' processes.
        most_callers: with more, requests only queue.
        slow: so few requests a second that the time of every answer is noted.
        stateful: each request is one step of a sequence.
    """

    name: str
    path: Path
    config: str
    input_name: str
    draw: Draw
    output_name: str
    batch_sizes: tuple[int, ...]
    peer_threads: int = 1
    peer_workers: int = CORES
    most_callers: int = 64
    slow: bool = False
    stateful: bool = False

    @property
    def weights_bytes(self) -> int:
        """Size of the ONNX file, which is all but entirely weights."""
        return self.path.stat().st_size


def bench_dir() -> Path:
    """Where the benchmark keeps what it builds and installs."""
    return build_dir() / "bench"


def digits_cnn(*, name: str = "digits_cnn", instances: int | None = None) -> Model:
    """The tiny model, with the very file that ``maas export`` writes, and its configuration but for the instances.

    Args:
        name: to serve it under.
        instances: in place of the configuration's own number.
    """
    bundle = bundle_dir("digits_cnn", "onnx")
    if not (bundle / "model.onnx").is_file():
        click.echo(f"bench: {bundle} is missing: training and exporting digits_cnn")
        for command in ("train", "export"):
            subprocess.run([sys.executable, "-m", "maas_core", command, "digits_cnn"], check=True)
    config = read_config(bundle)
    for output in config.output:
        output.label_filename = ""
    config.name = name
    if instances is not None:
        for group in config.instance_group:
            group.count = instances
    return Model(
        name=name,
        path=bundle / "model.onnx",
        config=dump_config(config),
        input_name="image",
        draw=lambda random: random.random((1, 1, 28, 28), np.float32),
        output_name="logits",
        batch_sizes=(1, 2, 4, 8, 16, 32),
    )


def encoder(*, layers: int = 12) -> Model:
    """The large model: of BERT-base's size, sequence length 128, random weights."""
    length, hidden, vocabulary = 128, 768, 30_522
    return Model(
        name="encoder",
        path=_built(f"encoder{layers}", lambda: graphs.encoder(layers=layers)),
        config=_config(
            max_batch_size=8,
            inputs=f'{{ name: "ids" data_type: TYPE_INT64 dims: [{length}] }}',
            outputs=f'{{ name: "embedding" data_type: TYPE_FP32 dims: [{hidden}] }}',
            instances=CORES,
            more="dynamic_batching { }",
        ),
        input_name="ids",
        draw=lambda random: random.integers(0, vocabulary, (1, length), np.int64),
        output_name="embedding",
        batch_sizes=(1, 2, 4, 8),
        most_callers=16,
        slow=True,
    )


def lstm(*, features: int = 64, hidden: int = 128) -> Model:
    """The stateful model: one step a request, its state kept by the server."""
    state = " ".join(
        f'state {{ input_name: "{name}_in" output_name: "{name}_out" data_type: TYPE_FP32 dims: [{hidden}] '
        f'initial_state {{ name: "{name}" data_type: TYPE_FP32 dims: [{hidden}] zero_data: true }} }}'
        for name in ("c", "h")
    )
    return Model(
        name="lstm",
        path=_built("lstm", lambda: graphs.lstm_step(features=features, hidden=hidden)),
        config=_config(
            max_batch_size=64,
            inputs=f'{{ name: "x" data_type: TYPE_FP32 dims: [{features}] }}',
            outputs=f'{{ name: "y" data_type: TYPE_FP32 dims: [{hidden}] }}',
            instances=1,
            more="sequence_batching { oldest { max_candidate_sequences: 256 } max_sequence_idle_microseconds: 60000000 "
            f"{state} }}",
        ),
        input_name="x",
        draw=lambda random: random.standard_normal((1, features), np.float32),
        output_name="y",
        batch_sizes=(1, 8, 32, 64),
        stateful=True,
    )


MODELS: dict[str, Callable[[], Model]] = {
    # With nothing in front an instance per core is best (`maas tune`); what is committed is for behind a gateway.
    "digits_cnn": lambda: digits_cnn(instances=CORES),
    "encoder": encoder,
    "lstm": lstm,
}


def _built(name: str, build: Callable[[], onnx.ModelProto]) -> Path:
    path = bench_dir() / "models" / f"{name}.onnx"
    if not path.is_file():
        click.echo(f"bench: building {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        onnx.save(build(), partial)
        partial.replace(path)
    return path


def _config(*, max_batch_size: int, inputs: str, outputs: str, instances: int, more: str) -> str:
    return "\n".join(
        [
            'backend: "onnxruntime"',
            f"max_batch_size: {max_batch_size}",
            f"input {inputs}",
            f"output {outputs}",
            f"instance_group {{ count: {instances} }}",
            'parameters { key: "intra_op_thread_count" value { string_value: "1" } }',
            'parameters { key: "inter_op_thread_count" value { string_value: "1" } }',
            more,
            "",
        ]
    )
