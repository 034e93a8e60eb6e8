"""Data and task of the language models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from maas_core.errors import WrongUse
from maas_export.data import language
from maas_export.data.groups import folded, near_duplicates, split_by_group
from maas_export.models.language import MODELS, LanguageNetwork, LanguageOfText
from maas_export.python_models import load_module

NETWORKS = [model for model in MODELS if isinstance(model, LanguageNetwork)]
ENSEMBLES = [model for model in MODELS if isinstance(model, LanguageOfText)]

GERMAN = "".join(f"{word},German\n" for word in ("Haus", "Baum", "Straße", "Wald", "Vogel", "Katze"))


def table(folder: Path, text: str, name: str = "names.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def triples(text: str) -> set[str]:
    return {f" {word} "[i : i + 3] for word in folded(text).split() for i in range(len(word))}


def test_each_language_has_hundreds_of_names_and_a_fifth_is_held_out() -> None:
    split = language.built_in(0)
    counts = np.bincount(split.train["label"], minlength=len(language.LANGUAGES))
    held_out = np.bincount(split.test["label"], minlength=len(language.LANGUAGES))
    assert counts.min() > 400
    assert np.all(np.abs(held_out / (counts + held_out) - 0.2) < 0.03)


def test_no_name_has_a_near_duplicate_on_the_other_side() -> None:
    split = language.built_in(0)
    for label in (3, 6, 13):
        train, test = ([triples(t) for t in part["text"][part["label"] == label]] for part in (split.train, split.test))
        assert max(len(a & b) / max(len(a | b), 1) for a in train for b in test) < 0.6


def test_every_name_belongs_to_one_language_only() -> None:
    split = language.built_in(0)
    folded_names = [text.casefold() for part in (split.train, split.test) for text in part["text"]]
    assert len(set(folded_names)) == len(folded_names)


def test_a_thing_has_its_names_on_one_side() -> None:
    split = language.built_in(0)
    held_out = set(split.test["text"])
    names = {"Germania", "Niemcy", "Německo", "Saksa", "Duitsland", "Németország"}
    present = names & {text for part in (split.train, split.test) for text in part["text"]}
    assert len(present) > 2
    assert len({name in held_out for name in present}) == 1


def test_other_seeds_hold_out_other_names_and_the_same_seed_the_same() -> None:
    assert language.built_in(0).digest != language.built_in(1).digest
    language.built_in.cache_clear()
    assert language.built_in(0).digest == language.built_in(0).digest


def test_near_duplicates_share_a_group_within_a_label_only() -> None:
    groups = near_duplicates(["norsk krone", "Norske krone", "norsk krone", "peso"], np.array([0, 0, 1, 0]), 0.6)
    assert groups[0] == groups[1]
    assert len({groups[0], groups[2], groups[3]}) == 3


def test_groups_are_never_divided() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(60, size=300).tolist()
    columns = {"label": rng.integers(3, size=300), "number": np.arange(300)}
    split = split_by_group(columns, groups, 0, "numbers")
    sides = [{groups[number] for number in part["number"]} for part in (split.train, split.test)]
    assert not sides[0] & sides[1]
    assert len(split.test["label"]) > 30


def test_a_table_of_the_user_is_read_and_cleaned(tmp_path: Path) -> None:
    words = {
        "German": ["Haus", "Baum", "Straße", "Wald", "Vogel", "Katze"],
        "French": ["lune", "mer", "pain", "vin", "chat", "oiseau"],
    }
    rows = [f'"  {word}\u200b ",{label}' for label, names in words.items() for word in names]
    split = language.from_path(table(tmp_path, "text,label\n" + "\n".join(rows) + "\n"), 0)
    read = {
        (text, list(language.LANGUAGES)[label])
        for part in (split.train, split.test)
        for text, label in zip(part["text"], part["label"], strict=True)
    }
    assert read == {(word, label) for label, names in words.items() for word in names}
    tabs = ["label\ttext", *(f"{label}\t{word}" for label, names in words.items() for word in names)]
    assert language.from_path(table(tmp_path, "\n".join(tabs), "names.tsv"), 0).source == "names.tsv"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names.csv is empty"),
        ("text,label\n", "names.csv holds no row below its header"),
        ("name,label\na,German\n", "names.csv, line 1 names the columns name, label; text is not among them"),
        ("text,label\nHaus,German\nBaum\n", "names.csv, line 3 has 1 fields, the header names 2"),
        ('text,label\n"Haus\nund Hof",German\nBaum,German,x\n', "names.csv, line 4 has 3 fields"),
        ("text,label\nHaus,Klingon\n", "names.csv, line 2 has the label 'Klingon'"),
        ("text,label\nHaus,\n", "names.csv, line 2 has the label ''"),
        ("text,label\n ,German\n", "names.csv, line 2: the text holds nothing but"),
        ("text,label\nHa\0us,German\n", "names.csv, line 2 holds a NUL byte"),
        (f"text,label\nHaus,German\n{'x' * 65},German\n", "names.csv, line 3: the text has 65 characters, at most 64"),
        ('text,label\n"Haus,German\n', "names.csv, line 2: unexpected end of data"),
        (f"text,label\n{GERMAN}", "names.csv holds only the class German"),
        (f"text,label\n{GERMAN}" + "pain,French\n" * 9, "names.csv holds 1 different samples of class French"),
    ],
)
def test_a_wrong_table_is_refused_with_file_line_and_reason(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUse) as caught:
        language.from_path(table(tmp_path, text), 0)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.csv", "names.txt"])
def test_a_file_that_is_no_table_is_refused(name: str, tmp_path: Path) -> None:
    if name.endswith("txt"):
        table(tmp_path, "text,label\n", name)
    with pytest.raises(WrongUse, match=r"\.csv"):
        language.from_path(tmp_path / name, 0)


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_bytes(b"text,label\nHaus,German\nK\xf6ln,German\n")
    with pytest.raises(WrongUse, match=r"line 3 is not UTF-8 \(byte 0xf6\)"):
        language.from_path(path, 0)


@pytest.mark.parametrize("model", NETWORKS, ids=lambda model: model.name)
def test_padding_changes_no_answer(model: LanguageNetwork) -> None:
    torch.manual_seed(0)
    module = model.build().eval()
    letters = load_module("text_preprocess", "letters")
    with torch.inference_mode():
        short, long = (
            module(torch.from_numpy(letters.numbered(["Oslo", "Kjøbenhavn"], length))) for length in (10, 64)
        )
    one, other = (found[0] if isinstance(found, tuple) else found for found in (short, long))
    assert torch.allclose(one, other, atol=1e-5)
    if isinstance(long, tuple):
        weights = long[1]
        assert torch.allclose(weights.sum(-1), torch.ones_like(weights.sum(-1)), atol=1e-5)
        assert not weights[0, :, :, 4:].any()


@pytest.mark.parametrize("model", NETWORKS, ids=lambda model: model.name)
def test_the_order_of_letters_matters(model: LanguageNetwork) -> None:
    torch.manual_seed(0)
    module = model.build().eval()
    letters = load_module("text_preprocess", "letters")
    with torch.inference_mode():
        found = module(torch.from_numpy(letters.numbered(["abcdef", "fedcba"], 16)))
    logits = found[0] if isinstance(found, tuple) else found
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)


@pytest.mark.parametrize("model", NETWORKS, ids=lambda model: model.name)
def test_what_training_saw_counts_and_padding_does_not(model: LanguageNetwork) -> None:
    letters = load_module("text_preprocess", "letters")
    torch.manual_seed(0)
    module = model.build().train()
    seen = letters.numbered(["København", "Warszawa"], 16)
    model.loss(module, {"tokens": torch.from_numpy(seen), "label": torch.tensor([1, 9])})
    assert float(module.counts.totals[1]) == 4 * len("København")
    module.eval()
    model.loss(module, {"tokens": torch.from_numpy(seen), "label": torch.tensor([1, 9])})
    assert float(module.counts.totals.sum()) == 4 * len("KøbenhavnWarszawa")
    with torch.inference_mode():
        short, long = (module.counts(torch.from_numpy(letters.numbered(["Aabenhavn"], length))) for length in (9, 64))
    assert torch.allclose(short, long)
    assert short.argmax() == 1


def test_training_reads_every_letter_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss sorts a batch by length; each text must keep its own label."""
    model = NETWORKS[1]
    torch.manual_seed(0)
    module = model.build().eval()
    letters = load_module("text_preprocess", "letters")
    texts = ["Oslo", "Den Haag en Amsterdam", "Rom", "Kjøbenhavn", "Warszawa"]
    batch = {
        "tokens": torch.from_numpy(letters.numbered(texts, 64)),
        "label": torch.tensor([1, 2, 8, 1, 9]),
    }
    with torch.inference_mode():
        wanted = sum(
            torch.nn.functional.cross_entropy(logits, batch["label"], label_smoothing=0.1)
            for logits in module.opinions(batch["tokens"])
        )
        assert torch.allclose(model.loss(module, batch), wanted, atol=1e-5)


def test_varied_names_are_never_empty_or_too_long_and_keep_their_place() -> None:
    split = language.built_in(0)
    texts = split.train["text"].tolist()
    varied = language.varied(texts, split.train["label"], np.random.default_rng(0))
    assert len(varied) == len(texts)
    assert all(0 < len(text) <= language.MOST_CHARACTERS for text in varied)
    same = np.mean([text == other for text, other in zip(texts, varied, strict=True)])
    assert 0.4 < same < 0.8


def test_served_answers_are_judged_by_their_best_label() -> None:
    model = ENSEMBLES[0]
    cases = model.cases(None, 0)[:3]
    wanted = [case.wanted for case in cases]
    other = next(label for label in language.LANGUAGES if label != wanted[1])
    answers = [
        {"label": np.array([[label.encode(), b"x", b"y"]], dtype=object), "score": np.array([[0.9, 0.05, 0.01]])}
        for label in (wanted[0], other)
    ]
    evaluation, verdicts = model.judge(cases, [*answers, "the server is gone"])
    assert evaluation.value == pytest.approx(1 / 3)
    assert [verdict.badness for verdict in verdicts] == [0.0, pytest.approx(0.9), 1.0]
    assert verdicts[1].got.startswith(other)
    assert "the server is gone" in verdicts[2].got
