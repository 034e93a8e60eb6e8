"""Names in 15 languages: out of Babel's CLDR (built in), or a table of the user.

Columns: ``text`` (the clean text) and ``label`` (the number of the language in :data:`LANGUAGES`). The two parts of the
split share no name: what belongs together stays together, see :func:`split_by_group`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array
from maas_export.data.groups import joined_groups, near_duplicates, split_by_group
from maas_export.data.split import Split
from maas_export.data.tables import read_table
from maas_export.python_models import load_module

LANGUAGES: Mapping[str, str] = {
    "Czech": "cs",
    "Danish": "da",
    "Dutch": "nl",
    "English": "en",
    "Finnish": "fi",
    "French": "fr",
    "German": "de",
    "Hungarian": "hu",
    "Italian": "it",
    "Polish": "pl",
    "Portuguese": "pt",
    "Romanian": "ro",
    "Spanish": "es",
    "Swedish": "sv",
    "Turkish": "tr",
}
"""The languages and their codes in CLDR: of Latin script all, so that the script gives none away."""
MOST_CHARACTERS = 64
_LONGEST_BUILT_IN = 40
_LEAST_LETTERS = 3
_ALIKE = 0.6
"""Names of one language that share this much of their letter triples count as one: ``krona`` and ``kronor``."""

_TOGETHER, _SLIP = 0.05, 0.25
"""How often a varied name has a second one behind it, and how often it lost a character."""
_BETWEEN = (" ", ", ", " / ")
_LONG_ENOUGH = 5
"""Characters from which on a name still tells its language when one is lost."""


@cache
def built_in(seed: int) -> Split:
    """Names of territories, languages, scripts, currencies, months, days and cities that only one language has.

    A thing (Denmark, the Danish krone) has its names of all languages on the same side of the split.
    """
    texts, labels, things = _cldr_names()
    groups = joined_groups(things, near_duplicates(texts, labels, _ALIKE))
    return split_by_group(
        {"text": np.array(texts, dtype=np.object_), "label": labels},
        groups,
        seed,
        "names of 15 languages (Babel, CLDR)",
    )


def from_path(path: Path, seed: int) -> Split:
    """A table of the user with the columns ``text`` and ``label``, the English name of one of :data:`LANGUAGES`.

    Raises:
        WrongUse: naming file, line and what is wrong with it.
    """
    texts, labels = labelled_texts(path)
    groups = near_duplicates(texts, labels, _ALIKE)
    columns = {"text": np.array(texts, dtype=np.object_), "label": labels}
    return split_by_group(columns, groups, seed, path.name, [list(LANGUAGES)[label] for label in np.unique(labels)])


def labelled_texts(path: Path) -> tuple[list[str], Array]:
    """The clean texts of a table, and the numbers of their languages [texts].

    Raises:
        WrongUse: naming file, line and what is wrong with it.
    """
    numbers = {name: number for number, name in enumerate(LANGUAGES)}
    letters, item_error = load_module("text_preprocess", "letters"), load_module("text_preprocess", "each").ItemError
    texts, labels = [], []
    for row in read_table(path, ("text", "label")):
        try:
            texts.append(letters.read_letters(row.values["text"].encode(), MOST_CHARACTERS))
        except item_error as error:
            raise WrongUse(f"{row.place}: {error}", "mend or drop that line") from error
        label = row.values["label"].strip()
        if label not in numbers:
            raise WrongUse(f"{row.place} has the label {label!r}", f"labels are {', '.join(LANGUAGES)}")
        labels.append(numbers[label])
    return texts, np.array(labels, dtype=np.int64)


def varied(texts: Sequence[str], labels: Array, rng: np.random.Generator) -> list[str]:
    """The same names as other people might write them: in other case, with a slip, or two of one language together."""
    members = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    return [_variant(text, texts, members[int(label)], rng) for text, label in zip(texts, labels, strict=True)]


def _variant(text: str, texts: Sequence[str], same_language: Array, rng: np.random.Generator) -> str:
    if rng.random() < _TOGETHER:
        text = f"{text}{rng.choice(_BETWEEN)}{texts[rng.choice(same_language)]}"
    case = rng.random()
    if case < 0.1:
        text = text.lower()
    elif case < 0.15:
        text = text.upper()
    elif case < 0.25:
        text = text[:1].upper() + text[1:]
    if len(text) > _LONG_ENOUGH and rng.random() < _SLIP:
        lost = int(rng.integers(len(text)))
        text = text[:lost] + text[lost + 1 :]
    return text[:MOST_CHARACTERS].strip()


@cache
def _cldr_names() -> tuple[list[str], Array, list[int]]:
    """Texts, the numbers of their languages, and the number of the thing that each names."""
    found: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
    for label, code in enumerate(LANGUAGES.values()):
        for thing, name in _names_of(code):
            if _is_name(name):
                found[name.casefold()].setdefault(label, (name, thing))
    unique = [(label, *named) for names in found.values() if len(names) == 1 for label, named in names.items()]
    things: dict[str, int] = {}
    return (
        [name for _, name, _ in unique],
        np.array([label for label, _, _ in unique], dtype=np.int64),
        [things.setdefault(thing, len(things)) for _, _, thing in unique],
    )


def _names_of(code: str) -> Iterator[tuple[str, str]]:
    """(thing, its name) in one language."""
    from babel import Locale

    clean = load_module("text_preprocess", "text_cleaning").clean
    locale = Locale.parse(code)
    tables: Sequence[tuple[str, Mapping[str, str]]] = (
        ("territory", locale.territories),
        ("language", locale.languages),
        ("script", locale.scripts),
        ("currency", locale.currencies),
        *(("month", locale.months[context]["wide"]) for context in ("format", "stand-alone")),
        *(("day", locale.days[context]["wide"]) for context in ("format", "stand-alone")),
        ("city", {key: zone["city"] for key, zone in locale.time_zones.items() if "city" in zone}),
    )
    for kind, table in tables:
        for key, name in table.items():
            yield f"{kind} {key}", clean(name.encode())


def _is_name(text: str) -> bool:
    letters = sum(character.isalpha() for character in text)
    return letters >= _LEAST_LETTERS and len(text) <= _LONGEST_BUILT_IN and not re.search(r"\d", text)
