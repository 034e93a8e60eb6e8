"""A small language model, and the stream of text that it gives token by token."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from maas_core.golden import Array, Tensors
from maas_core.layout import python_models_dir
from maas_core.spec import ModelSpec, Objective, Serving, TensorSpec, Tolerance
from maas_export.catalogue import Card, PythonModel, Reference, TorchModel
from maas_export.data import gpt as texts
from maas_export.data.split import Split
from maas_export.data.trigram import ByteTrigram
from maas_export.evaluation import Evaluation
from maas_export.pictures.bits import bits_picture
from maas_export.python_models import load_module
from maas_export.recipe import Recipe
from maas_export.served_evaluation import Answer, Case, Judged, Verdict
from maas_export.serving_choice import serving_for

if TYPE_CHECKING:
    import torch
    from torch import nn

_VOCABULARY_SIZE, _LAYERS, _HEADS, _HEAD_WIDTH = 1024, 4, 4, 40
_MAX_BATCH = 8
_MAX_TOKENS = 256
_BATCH = 16
_CASES = 48
_PROMPTS = ("def read(path):\n    ", "The value of the attribute", "import os\n\n", 'class Client:\n    """')
_GEOMETRY_FILE = "geometry.json"
_NO_PAST = (1, _LAYERS, 2, _HEADS, 0, _HEAD_WIDTH)

_TOKEN = TensorSpec("token", "INT64", ("time",), "the tokens that follow those behind `past`, 0 to 1023")
_LOGITS = TensorSpec(
    "logits", "FP32", ("time", _VOCABULARY_SIZE), "unnormalised log-probability of each token after each of `token`"
)


def _keys_and_values(name: str, axis: str, description: str) -> TensorSpec:
    return TensorSpec(name, "FP32", (_LAYERS, 2, _HEADS, axis, _HEAD_WIDTH), description)


class TinyGpt(TorchModel, Judged):
    """The network by itself: tokens and the keys and values of what came before in, logits and all of them out."""

    spec = ModelSpec(
        name="tiny_gpt",
        task="language modelling",
        summary="tells which token of English prose or Python code comes next",
        backend="onnxruntime",
        inputs=(_TOKEN, _keys_and_values("past", "past", "keys and values of what came before; none at first")),
        outputs=(_LOGITS, _keys_and_values("present", "present", "keys and values of all, for the next request")),
        serving=serving_for("tiny_gpt", default=Serving(max_batch_size=_MAX_BATCH)),
        tolerances={"FP32": Tolerance(absolute=1e-4, relative=1e-4)},
        objective=Objective(p99_ms=100.0),
        refuses_nonfinite=True,
    )
    card = Card(
        architecture="GPT-2 as transformers builds it: 4 layers, 4 heads, 160 wide, 1,024 byte-pair tokens, a view of "
        "256 tokens; its key-value cache goes in and out",
        data="the sources of Python's standard library and the chapters of its reference, a tenth of them held out",
        licence="data: Python Software Foundation License 2.0",
        intended_use="showing how a language model is trained, exported with its cache and served as a stream",
        limits="a toy: it writes what looks like Python and means nothing; it knows no facts and follows no "
        "instructions. What it learned depends on the Python that trained it",
    )
    recipe = Recipe(
        epochs=12,
        batch_size=8,
        learning_rate=1e-3,
        weight_decay=0.1,
        optimizer="adamw",
        warmup_share=0.05,
        max_gradient_norm=1.0,
    )
    windows_per_epoch = 560

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.gpt import TinyGpt as Network

        return Network(_VOCABULARY_SIZE, texts.CONTEXT)

    def exported(self, module: nn.Module) -> nn.Module:
        """The network with its cache as input and output."""
        from maas_export.networks.gpt import CachedGpt
        from maas_export.networks.gpt import TinyGpt as Network

        if not isinstance(module, Network):
            raise TypeError(f"{type(module).__name__} is no {Network.__name__}")
        return CachedGpt(module)

    def load_data(self, path: Path | None, seed: int) -> Split:
        """The standard library of this Python, or the user's texts (see :mod:`maas_export.data.gpt`)."""
        return texts.built_in(seed) if path is None else texts.from_path(path, seed)

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """So many windows of the text that an epoch is a short one, others each time."""
        count = len(train["token"])
        return {"token": train["token"][rng.permutation(count)[: self.windows_per_epoch]]}

    def loss(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy of the next token, in nats."""
        return _cross_entropy(module(batch["token"][:, :-1]), batch["token"][:, 1:]).mean()

    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        """Bits per byte on the held-out windows, beside a byte trigram that was counted on the training part."""
        windows = split.test["token"]
        bits = np.concatenate(
            [_bits(module, windows[first : first + _BATCH]) for first in range(0, len(windows), _BATCH)]
        )
        return _evaluation(windows, bits, split.train["token"])

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Of one sample a prompt without a past, of three a single token, else several tokens behind a past."""
        time = 1 if size == 3 else int(rng.integers(2, 12))
        past = 0 if size == 1 else int(rng.integers(2, 24))
        shape = (size, _LAYERS, 2, _HEADS, past, _HEAD_WIDTH)
        return {
            "token": rng.integers(0, _VOCABULARY_SIZE, (size, time), dtype=np.int64),
            "past": rng.normal(0, 1, shape).astype(np.float32),
        }

    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Held-out windows of the built-in text, or of all the user's; without a past."""
        windows = self.load_data(path, seed).test["token"]
        chosen = windows[np.linspace(0, len(windows) - 1, min(_CASES, len(windows))).astype(int)]
        return [
            Case(
                texts.bytes_of(window[:24]).decode(errors="replace"),
                {"token": window[None, :-1], "past": np.zeros(_NO_PAST, np.float32)},
                window,
            )
            for window in chosen
        ]

    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """Bits per byte; a window that got an error costs 8 bits a byte."""
        windows = np.array([case.wanted for case in cases])
        bits = np.array([_bits_of_answer(window, answer) for window, answer in zip(windows, answers, strict=True)])
        verdicts = [
            Verdict(
                badness=value / _byte_count(window),
                wanted="as few bits per byte as can be",
                got=answer if isinstance(answer, str) else f"{value / _byte_count(window):.2f} bits per byte",
            )
            for window, value, answer in zip(windows, bits, answers, strict=True)
        ]
        return _evaluation(windows, bits), verdicts


class TinyGptText(PythonModel):
    """A prompt in, text out, token by token: what an application calls."""

    spec = ModelSpec(
        name="tiny_gpt_text",
        task="text generation",
        summary="goes on from a prompt, one streamed answer a token",
        backend="python",
        inputs=(
            TensorSpec("prompt", "BYTES", (1,), "the text to go on from, UTF-8"),
            TensorSpec(
                "max_tokens",
                "INT32",
                (1,),
                f"how many tokens at most, 1 to {_MAX_TOKENS}; 64 if left out",
                optional=True,
            ),
            TensorSpec(
                "temperature",
                "FP32",
                (1,),
                "0 (if left out) takes the likeliest token, more draws more wildly",
                optional=True,
            ),
            TensorSpec(
                "top_k", "INT32", (1,), "draw from so many of the likeliest; 0 (if left out) from all", optional=True
            ),
            TensorSpec("seed", "UINT64", (1,), "of the draws; by chance if left out", optional=True),
            TensorSpec(
                "stop", "BYTES", ("stops",), "texts that end the answer and are not given, at most 8", optional=True
            ),
        ),
        outputs=(
            TensorSpec("text", "BYTES", (1,), "the characters that became certain with this token"),
            TensorSpec("token", "INT32", (1,), "the token's number"),
            TensorSpec(
                "finish_reason", "BYTES", (1,), "on the last answer `stop`, `length`, `context` or `end`; empty before"
            ),
        ),
        serving=Serving(
            max_batch_size=0, dynamic_batching=False, parameters={"max_tokens_limit": str(_MAX_TOKENS), "streams": "4"}
        ),
        tolerances={},
        objective=Objective(p99_ms=2000.0),
        decoupled=True,
        calls=("tiny_gpt",),
    )
    card = Card(
        architecture="prompt -> byte-pair tokens -> `tiny_gpt`, once for each token, with its cache -> text",
        data="see `tiny_gpt`",
        licence="see `tiny_gpt`",
        intended_use="streams over gRPC and `generate_stream`: greedy or drawn with a seed, stop strings, cancellation",
        limits="prompt and answer together hold 255 tokens, about 700 characters; a longer prompt is refused, an "
        "answer that fills the context ends with `context`. Four streams at a time, others wait. Errors come as "
        "errors of the stream. See `tiny_gpt`",
    )
    example = MappingProxyType({"prompt": "def read(path):\n", "max_tokens": 32})

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Which of the sample requests verification tries."""
        return (1, 2, 3, 4)

    @property
    def assets(self) -> Mapping[str, str | bytes]:
        """The vocabulary, and what the network's cache looks like."""
        geometry = json.dumps({"context": texts.CONTEXT, "no_past": _NO_PAST})
        return {
            texts.VOCABULARY_FILE: (python_models_dir() / self.name / texts.VOCABULARY_FILE).read_bytes(),
            _GEOMETRY_FILE: geometry + "\n",
        }

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Four kinds of requests: greedy; drawn; drawn from a few tokens; greedy with stop strings."""
        prompt = _PROMPTS[rng.integers(len(_PROMPTS))]
        inputs: dict[str, Array] = {"prompt": _bytes(prompt), "max_tokens": np.array([6 * size], np.int32)}
        if size in (2, 3):
            inputs["temperature"] = np.array([0.8], np.float32)
            inputs["seed"] = rng.integers(0, 2**63, 1, dtype=np.uint64)
        if size == 3:
            inputs["top_k"] = np.array([8], np.int32)
        if size == 4:
            inputs["stop"] = _bytes("\n\n", "return")
        return inputs

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure functions of the model's own folder, with the network's reference."""
        wishes = load_module(self.name, "wishes").read_wishes(
            {name: value.tolist() for name, value in inputs.items()}, _MAX_TOKENS
        )

        def network(token: Array, past: Array) -> tuple[Array, Array]:
            outputs = calls["tiny_gpt"]({"token": token, "past": past})
            return outputs["logits"], outputs["present"]

        generate = load_module(self.name, "generation").generate
        pieces = list(
            generate(
                wishes,
                texts.vocabulary(),
                network,
                context=texts.CONTEXT,
                empty=np.zeros(_NO_PAST, np.float32),
            )
        )
        return {
            "text": _bytes(*(piece.text for piece in pieces)),
            "token": np.array([piece.token for piece in pieces], np.int32),
            "finish_reason": _bytes(*(piece.finish_reason for piece in pieces)),
        }


MODELS = (TinyGpt(), TinyGptText())


def _bytes(*values: str) -> Array:
    return np.array([value.encode() for value in values], dtype=np.object_)


def _cross_entropy(logits: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    """[batch, time, vocabulary] and [batch, time] -> nats [batch, time]."""
    from torch.nn import functional

    return functional.cross_entropy(logits.flatten(0, 1), token.flatten(), reduction="none").view_as(token)


def _bits(module: nn.Module, windows: Array) -> Array:
    """What it costs to tell each window behind its first token, in bits [windows]."""
    import torch

    token = torch.from_numpy(windows)
    with torch.inference_mode():
        nats = _cross_entropy(module(token[:, :-1]), token[:, 1:]).sum(dim=1)
    values: Array = nats.numpy() / math.log(2)
    return values


def _bits_of_answer(window: Array, answer: Answer) -> float:
    if isinstance(answer, str):
        return 8.0 * _byte_count(window)
    logits = answer["logits"][0].astype(np.float64)
    highest = logits.max(axis=1, keepdims=True)
    log_sums = highest[:, 0] + np.log(np.exp(logits - highest).sum(axis=1))
    return float((log_sums - logits[np.arange(len(logits)), window[1:]]).sum() / math.log(2))


def _byte_count(window: Array) -> int:
    """Bytes of all tokens but the first, which nothing predicts."""
    return len(texts.bytes_of(window[1:]))


def _evaluation(windows: Array, bits: Array, train: Array | None = None) -> Evaluation:
    byte_counts = np.array([_byte_count(window) for window in windows])
    total, tokens = int(byte_counts.sum()), windows[:, 1:].size
    bits_per_byte = float(bits.sum() / total)
    baselines = {}
    if train is not None:
        counted = ByteTrigram(texts.bytes_of(train[:, 1:].reshape(-1)))
        baselines["byte trigram"] = sum(_trigram_bits(counted, windows)) / total
    return Evaluation(
        measure="bits per byte",
        figures={"bits per byte": bits_per_byte, "perplexity per token": float(2 ** (bits.sum() / tokens))},
        samples=total,
        picture=bits_picture(bits / byte_counts, baselines, f"tiny_gpt: {bits_per_byte:.3f} bits per byte, held out"),
        baselines=baselines,
        higher_is_better=False,
    )


def _trigram_bits(counted: ByteTrigram, windows: Array) -> Iterator[float]:
    """The same for the trigram, which sees the bytes of the first token as well."""
    for window in windows:
        yield counted.bits(texts.bytes_of(window), len(texts.bytes_of(window[:1])))
