"""Which language is this name? Three networks for the same question, and the steps that turn a text into letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import numpy as np

from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, Objective, Serving, Step, TensorSpec
from maas_export.catalogue import Card, EnsembleModel, PythonModel, Reference
from maas_export.classifier import Classifier
from maas_export.data import language as language_data
from maas_export.data.language import LANGUAGES, MOST_CHARACTERS
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation
from maas_export.python_models import load_module
from maas_export.recipe import Recipe
from maas_export.served_evaluation import Answer, Case, Judged, Verdict
from maas_export.served_labels import judge_labels
from maas_export.serving_choice import serving_for
from maas_export.steps import FP32_TOLERANCE, RankLabels, text_column

if TYPE_CHECKING:
    import torch
    from torch import nn

    from maas_export.networks.language import DeepAndWide

_MAX_BATCH = 32
_HEADS = 4
_LABELS = tuple(LANGUAGES)
_LABEL_SMOOTHING = 0.1
_GROUP_ROWS = 60_013
_RECIPE = Recipe(
    epochs=12,
    batch_size=128,
    learning_rate=3e-3,
    weight_decay=0.1,
    optimizer="adamw",
    warmup_share=0.05,
    max_gradient_norm=1.0,
)

_TOKENS = TensorSpec("tokens", "INT64", ("characters",), "numbers of the letters; 0 is padding, 1 an unknown letter")
_LETTERS = TensorSpec("letters", "BYTES", ("characters",), "the clean text, letter by letter; empty is padding")
_LOGITS = TensorSpec("logits", "FP32", (len(_LABELS),), "unnormalised log-probability of each language", labels=_LABELS)
_ATTENTION = TensorSpec(
    "attention",
    "FP32",
    (_HEADS, "characters", "characters"),
    "by head: how much each letter (second axis) looks at each letter (third), 0 to 1",
)
_TEXT = TensorSpec("text", "BYTES", (1,), f"a name or a few words, UTF-8, at most {MOST_CHARACTERS} characters")
_ERROR = TensorSpec("error", "BYTES", (1,), "why the text could not be used; empty where it could")
_RANKING = RankLabels("language_postprocess", _LOGITS, _ERROR, what="languages")

_DATA = (
    "names of territories, languages, scripts, currencies, months, days and cities in 15 languages (CLDR, as Babel has "
    "it), only those that a single language has; a thing's names in all languages, and near duplicates, stay on one "
    "side of the split"
)
_LICENCE = "data: Unicode License v3 (CLDR)"
_LIMITS = (
    "it knows 15 languages of Latin script and names one of them whatever it is given; names that several languages "
    "share (`Berlin`) have no right answer; sentences work, but it never saw any"
)


class LanguageNetwork(Classifier):
    """What the three networks have in common."""

    borrows = ("text_preprocess",)

    def load_data(self, path: Path | None, seed: int) -> Split:
        """Names out of CLDR, or the user's (see :mod:`maas_export.data.language`)."""
        return language_data.built_in(seed) if path is None else language_data.from_path(path, seed)

    def features(self, columns: Tensors) -> Tensors:
        """The numbers of the letters."""
        return {"tokens": _numbered(columns["text"].tolist())}

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """The same names in other case, with a slip, or two together."""
        texts = language_data.varied(train["text"].tolist(), train["label"], rng)
        return {"tokens": _numbered(texts), "label": train["label"]}

    def loss(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in nats against smoothed labels, of both trained parts of the network added up; short texts go
        by themselves, so that less padding is made. What is counted is counted on the way.
        """
        import torch
        from torch.nn import functional

        network = cast("DeepAndWide", module)
        if network.training:
            network.counts.count(batch["tokens"], batch["label"])
        lengths = (batch["tokens"] != 0).sum(1)
        total = torch.zeros(())
        for half in lengths.argsort(stable=True).chunk(2):
            for logits in network.opinions(batch["tokens"][half, : lengths[half[-1]]]):
                total = total + functional.cross_entropy(
                    logits, batch["label"][half], label_smoothing=_LABEL_SMOOTHING, reduction="sum"
                )
        return total / len(lengths)

    def baseline(self, split: Split) -> Mapping[str, float]:
        """Character n-grams: logistic regression and naive Bayes."""
        from maas_export.data.language_baselines import ngram_baselines

        return ngram_baselines(split)

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Texts of letters drawn at random, of different length, the longest so long as the axis."""
        letters = load_module("text_preprocess", "letters")
        length = int(rng.integers(2, MOST_CHARACTERS + 1))
        tokens = rng.integers(1, letters.VOCABULARY, (size, length))
        ends = rng.integers(1, length + 1, (size, 1))
        ends[0] = length
        return {"tokens": np.where(np.arange(length) < ends, tokens, 0)}


def _network_spec(name: str, summary: str, outputs: tuple[TensorSpec, ...]) -> ModelSpec:
    return ModelSpec(
        name=name,
        task="language identification",
        summary=summary,
        backend="onnxruntime",
        inputs=(_TOKENS,),
        outputs=outputs,
        serving=serving_for(name, default=Serving(max_batch_size=_MAX_BATCH, instances=1, intra_op_threads=1)),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=30.0),
    )


class LanguageRnn(LanguageNetwork):
    """Gated recurrent units."""

    spec = _network_spec("language_rnn", "tells the language of letters, one after the other", (_LOGITS,))
    card = Card(
        architecture="embedding of letters and hashed groups of 2 to 4 letters, two layers of gated recurrent units "
        "(GRU: torch's plain recurrent layer cannot be exported with a free length), linear on the last valid "
        "step; beside it a linear vote and a count of such groups",
        data=_DATA,
        licence=_LICENCE,
        intended_use="which of 15 languages a name or a few words are in, letter by letter",
        limits=_LIMITS,
    )
    example = MappingProxyType({"tokens": Path("examples/language_rnn/tokens.json")})
    recipe = replace(_RECIPE, epochs=8, learning_rate=4e-3)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.language import LanguageRnn as Network

        return Network(_vocabulary(), len(_LABELS), width=64, units=128, rows=_GROUP_ROWS, dropout=0.4)


class LanguageAttention(LanguageNetwork):
    """One layer of multi-head attention."""

    spec = _network_spec(
        "language_attention",
        "tells the language of letters, and which letters it looked at",
        (_LOGITS, _ATTENTION),
    )
    card = Card(
        architecture="embedding of letters and hashed groups of 2 to 4 letters, sinusoidal positions, one layer of "
        "multi-head attention (4 heads), mean over the letters, linear; "
        "beside it a linear vote and a count of such groups",
        data=_DATA,
        licence=_LICENCE,
        intended_use="which of 15 languages a name or a few words are in, and where the network looked",
        limits=f"{_LIMITS}; attention shows where it looked, not why it decided so",
    )
    example = MappingProxyType({"tokens": Path("examples/language_attention/tokens.json")})
    recipe = _RECIPE

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.language import LanguageAttention as Network

        return Network(
            _vocabulary(),
            len(_LABELS),
            most_characters=MOST_CHARACTERS,
            width=64,
            heads=_HEADS,
            layers=1,
            rows=_GROUP_ROWS,
            dropout=0.4,
        )


class LanguageTransformer(LanguageNetwork):
    """The encoder of a transformer."""

    spec = _network_spec("language_transformer", "tells the language of letters, all at once", (_LOGITS,))
    card = Card(
        architecture="embedding of letters and hashed groups of 2 to 4 letters, sinusoidal positions, two encoder "
        "layers with padding mask and dropout, mean over the letters, linear; "
        "beside it a linear vote and a count of such groups",
        data=_DATA,
        licence=_LICENCE,
        intended_use="which of 15 languages a name or a few words are in",
        limits=_LIMITS,
    )
    example = MappingProxyType({"tokens": Path("examples/language_transformer/tokens.json")})
    recipe = replace(_RECIPE, epochs=14)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.language import LanguageTransformer as Network

        return Network(
            _vocabulary(),
            len(_LABELS),
            most_characters=MOST_CHARACTERS,
            width=64,
            heads=_HEADS,
            layers=2,
            rows=_GROUP_ROWS,
            dropout=0.4,
        )


class TextPreprocess(PythonModel):
    """Text -> numbered letters."""

    spec = ModelSpec(
        name="text_preprocess",
        task="preprocessing",
        summary="cleans a text and numbers its letters",
        backend="python",
        inputs=(_TEXT,),
        outputs=(_TOKENS, _LETTERS, _ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"max_characters": str(MOST_CHARACTERS)}),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=20.0),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """See :func:`_texts`."""
        return {"text": _texts(rng, size)}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder."""
        read = load_module(self.source, "letters").read_texts
        tokens, letters, errors = read(inputs["text"].reshape(-1).tolist(), MOST_CHARACTERS)
        return {"tokens": tokens, "letters": letters, "error": text_column(errors)}


class LanguageOfText(EnsembleModel, Judged):
    """Text -> language: what an application calls.

    Args:
        name: of the ensemble.
        network: that decides.
        example: a text to try it with.
        gives_attention: whether the network's attention and the letters are given out too.
    """

    def __init__(self, name: str, network: LanguageNetwork, example: str, *, gives_attention: bool = False) -> None:
        seen = (_LETTERS, _ATTENTION) if gives_attention else ()
        kept = {tensor.name: tensor.name for tensor in seen}
        self._seen = tuple(kept)
        self._network = network.name
        self.card = Card(
            architecture=f"text -> letters, cleaned and numbered -> `{network.name}` -> the three likeliest languages",
            data=f"see `{network.name}`",
            licence=f"see `{network.name}`",
            intended_use="which of 15 languages a name or a few words are in; spelling and case need not be perfect",
            limits=f"{_LIMITS}; at most {MOST_CHARACTERS} characters",
        )
        self.example = MappingProxyType({"text": example})
        self.spec = ModelSpec(
            name=name,
            task="language identification",
            summary=network.spec.summary.replace("of letters", "of a name"),
            backend="ensemble",
            inputs=(_TEXT,),
            outputs=(*_RANKING.spec.outputs, *seen, _ERROR),
            serving=Serving(max_batch_size=_MAX_BATCH),
            tolerances=FP32_TOLERANCE,
            objective=Objective(p99_ms=100.0),
            steps=(
                Step(
                    "text_preprocess",
                    {"text": "text"},
                    {
                        "tokens": "tokens",
                        "error": "error",
                        **{name: name for name in ("letters",) if name in kept},
                    },
                ),
                Step(
                    network.name,
                    {"tokens": "tokens"},
                    {"logits": "logits", **{name: name for name in ("attention",) if name in kept}},
                ),
                Step(_RANKING.name, {"logits": "logits", "error": "error"}, {"label": "label", "score": "score"}),
            ),
        )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """See :func:`_texts`."""
        return {"text": _texts(rng, size)}

    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Each text of a table (see :mod:`maas_export.data.language`), or each held-out name."""
        if path is None:
            held_out = language_data.built_in(seed).test
            texts, labels = held_out["text"].tolist(), held_out["label"]
        else:
            texts, labels = language_data.labelled_texts(path)
        return [
            Case(text, {"text": text_column([text])}, _LABELS[label]) for text, label in zip(texts, labels, strict=True)
        ]

    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """Accuracy, F1 and confusion."""
        return judge_labels(cases, answers, _LABELS, self.name)


_NETWORKS = (LanguageRnn(), LanguageAttention(), LanguageTransformer())
MODELS = (
    *_NETWORKS,
    TextPreprocess(),
    _RANKING,
    LanguageOfText("language_by_rnn", _NETWORKS[0], "Schweizer Franken"),
    LanguageOfText("language_by_attention", _NETWORKS[1], "Guten Morgen", gives_attention=True),
    LanguageOfText("language_by_transformer", _NETWORKS[2], "Nowa Zelandia"),
)


def _vocabulary() -> int:
    vocabulary: int = load_module("text_preprocess", "letters").VOCABULARY
    return vocabulary


def _numbered(texts: Sequence[str]) -> Array:
    numbered: Array = load_module("text_preprocess", "letters").numbered(texts, MOST_CHARACTERS)
    return numbered


def _texts(rng: np.random.Generator, count: int) -> Array:
    """Real names of different length, some with what cleaning takes away; of three or more, one is too long."""
    names = language_data.built_in(seed=0).test["text"]
    chosen = names[rng.integers(len(names), size=count)].tolist()
    texts = [f" \u200b{name}\t\n" if rng.random() < 0.25 else name for name in chosen]
    if count > 2:
        texts[1] = "x" * (MOST_CHARACTERS + 1)
    return text_column(texts)
