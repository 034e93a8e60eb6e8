"""Texts for the small language model: what is read, what is held out, and the trigram beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from maas_core.errors import WrongUse
from maas_export.data import gpt
from maas_export.data.gpt_vocabulary import SIZE
from maas_export.data.split import Split
from maas_export.data.trigram import ByteTrigram
from maas_export.models.gpt import TinyGpt as Model
from maas_export.networks.gpt import HEADS, LAYERS, WIDTH, CachedGpt, TinyGpt

MODEL = Model()


def test_the_standard_library_holds_prose_and_code_and_no_tests() -> None:
    documents = gpt.standard_library()
    assert "class JSONEncoder" in documents["json/encoder.py"]
    assert "statement" in documents["help/while"]
    assert not any("/test/" in f"/{name}" or "site-packages" in name for name in documents)


def test_a_document_is_held_out_as_a_whole() -> None:
    documents = {f"file{number}": f"text {number}" for number in range(200)}
    train, test = gpt.parts_of(documents, 0)
    assert {**train, **test} == documents
    assert len(train) + len(test) == 200
    assert 5 < len(test) < 50
    assert gpt.parts_of(documents, 0) == (train, test) != gpt.parts_of(documents, 1)


def test_of_few_documents_the_last_tenth_of_each_is_held_out() -> None:
    train, test = gpt.parts_of({"one": "a" * 90 + "b" * 10}, 0)
    assert (train, test) == ({"one": "a" * 90}, {"one": "b" * 10})


def test_windows_follow_each_other_and_give_the_text_back(tmp_path: Path) -> None:
    text = "".join(f"line {number} of a text\n" for number in range(2000))
    (tmp_path / "text.txt").write_text(text)
    split = gpt.from_path(tmp_path / "text.txt", 0)
    windows = split.train["token"]
    assert windows.shape[1] == gpt.CONTEXT + 1
    assert np.array_equal(windows[1:, 0], windows[:-1, -1])
    assert gpt.bytes_of(windows[:, 1:].reshape(-1)).decode() == text[: len(gpt.bytes_of(windows[:, 1:].reshape(-1)))]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a.txt is empty"),
        (b" \n", "a.txt is empty"),
        (b"good\nb\xff\n", "a.txt, line 2: byte 0xff is no UTF-8"),
        (b"good\n\0", "a.txt, line 2: a NUL character"),
        (b"short", "holds too little text"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_with_line_and_reason(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(WrongUse, match=told):
        gpt.from_path(tmp_path, 0)


def test_a_folder_without_texts_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(WrongUse, match="holds no text file"):
        gpt.from_path(tmp_path, 0)
    with pytest.raises(WrongUse, match="there is no file or folder"):
        gpt.from_path(tmp_path / "nosuch", 0)


def test_the_vocabulary_has_the_size_that_the_network_is_built_for() -> None:
    logits = MODEL.build()(torch.zeros(1, 2, dtype=torch.int64))
    assert len(gpt.vocabulary()) == SIZE == logits.shape[-1]


def test_the_trigrams_probabilities_sum_to_one() -> None:
    counted = ByteTrigram(b"the theory of the thing")
    for context in (b"th", b"zz", b"ez"):
        total = sum(2 ** -counted.bits(context + bytes([byte]), 2) for byte in range(256))
        assert total == pytest.approx(1, abs=1e-6)


def test_the_trigram_counts_only_what_stands_behind_the_context() -> None:
    counted = ByteTrigram(b"abcabcabd" * 20)
    whole = counted.bits(b"abcabd", 2)
    assert whole == pytest.approx(counted.bits(b"abcabd"[:4], 2) + counted.bits(b"abcabd"[2:], 2))
    assert counted.bits(b"xyab" + b"c", 4) == pytest.approx(counted.bits(b"abc", 2))
    assert counted.bits(b"abc", 2) < counted.bits(b"abd", 2) < counted.bits(b"abz", 2)


def test_a_text_in_parts_gives_the_logits_of_the_text_at_once() -> None:
    torch.manual_seed(0)
    network = TinyGpt(64, 32).eval()
    cached = CachedGpt(network)
    token = torch.randint(0, 64, (2, 20))
    past = torch.zeros(2, LAYERS, 2, HEADS, 0, WIDTH // HEADS)
    with torch.inference_mode():
        wanted = network(token)
        got = []
        for part in token.split([7, 1, 12], dim=1):
            logits, past = cached(part, past)
            got.append(logits)
    torch.testing.assert_close(torch.cat(got, dim=1), wanted, atol=1e-5, rtol=1e-5)
    assert past.shape[4] == 20


def test_the_network_does_not_look_ahead() -> None:
    torch.manual_seed(0)
    network = TinyGpt(64, 32).eval()
    token = torch.randint(0, 64, (1, 20))
    other = token.clone()
    other[0, 12:] = 0
    with torch.inference_mode():
        torch.testing.assert_close(network(token)[:, :12], network(other)[:, :12])


def test_bits_per_byte_are_the_same_from_torch_and_from_answers() -> None:
    torch.manual_seed(0)
    module = MODEL.build().eval()
    cases = MODEL.cases(None, 0)[:3]
    windows = np.array([case.wanted for case in cases])
    split = Split({"token": windows}, {"token": windows}, "three windows")
    with torch.inference_mode():
        answers = [{"logits": module(torch.from_numpy(case.inputs["token"])).numpy()} for case in cases]
    evaluation, verdicts = MODEL.judge(cases, [*answers])
    assert evaluation.value == pytest.approx(MODEL.evaluate(module, split).value, rel=1e-4)
    assert evaluation.value > 2
    spoiled, verdicts = MODEL.judge(cases, ["it was not there", *answers[1:]])
    assert verdicts[0].badness == 8
    assert spoiled.value > evaluation.value


def test_documents_that_repeat_each_other_are_not_divided() -> None:
    """Copies of copies: what is held out holds no long line of what is trained on."""
    documents = {}
    for number in range(30):
        lines = [f"line {line} of document {number}, long enough to be its own" for line in range(10)]
        documents[f"doc{number}"] = "\n".join(lines)
        documents[f"copy/doc{number}"] = "\n".join([f"a line before that is copied into {number} alone", *lines[:4]])
    for seed in range(5):
        train, test = gpt.parts_of(documents, seed)
        assert 0 < len(test) <= 12
        assert all((f"copy/{name}" in test) == (name in test) for name in documents if name.startswith("doc"))
        assert {**train, **test} == documents


def test_documents_that_are_all_alike_are_refused() -> None:
    text = "\n".join(f"line {line} that stands in each of the documents" for line in range(10))
    with pytest.raises(WrongUse, match="12 documents repeat each other"):
        gpt.parts_of({f"file{number}": text for number in range(12)}, 0)


def test_an_empty_file_among_others_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(f"line {number} of a text\n" for number in range(2000)))
    alone = gpt.from_path(tmp_path, 0)
    (tmp_path / "empty.txt").write_text(" \n")
    assert gpt.from_path(tmp_path, 0).digest == alone.digest


def test_little_of_the_standard_librarys_held_out_text_is_in_the_training_part() -> None:
    train, test = gpt.parts_of(gpt.standard_library(), 0)
    known, held_out = ({line for text in part.values() for line in text.splitlines()} for part in (train, test))
    long = {line for line in held_out if len(line) >= 60}
    assert len(long & known) < 0.03 * len(long)
    assert 0.07 < sum(map(len, test.values())) / sum(map(len, train.values())) < 0.12
