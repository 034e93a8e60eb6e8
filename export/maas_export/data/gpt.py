"""Texts for a language model: the English prose and the code that Python installs, or the user's own files."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array
from maas_core.layout import python_models_dir
from maas_export.data.repeats import repeating_groups
from maas_export.data.split import Split
from maas_export.python_models import load_module

CONTEXT = 256
"""Tokens that the network sees at most."""
VOCABULARY_FILE = "tokenizer.json"
_MODEL = "tiny_gpt_text"
_TEXT_SUFFIXES = (".txt", ".md", ".rst", ".py")
_SKIPPED = frozenset(
    {
        *("test", "tests", "idle_test", "site-packages", "dist-packages", "_bundled", "__phello__"),
        # Tables of characters, which are neither prose nor code.
        *("encodings", "topics.py"),
    }
)
_OF_THE_MACHINE = ("_sysconfigdata", "config-")
"""Files and folders of these names hold the paths of the machine that built Python."""
_FEW_DOCUMENTS = 10
_MAX_TEST_WINDOWS = 320


@cache
def vocabulary() -> Any:
    """The ``Vocabulary`` of ``tiny_gpt_text``, as its own code reads it."""
    definition = (python_models_dir() / _MODEL / VOCABULARY_FILE).read_text(encoding="utf-8")
    return load_module(_MODEL, "vocabulary").Vocabulary(definition)


def standard_library() -> dict[str, str]:
    """What Python installs, by name: its sources, and the chapters of its reference that ``help()`` shows."""
    import os
    from pydoc_data.topics import topics

    root = Path(os.__file__).parent
    found = {f"help/{name}": text for name, text in topics.items()}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if not _SKIPPED & set(name.parts) and not any(part.startswith(_OF_THE_MACHINE) for part in name.parts):
            found[name.as_posix()] = path.read_bytes().decode("utf-8", "replace")
    return dict(sorted(found.items()))


def built_in(seed: int) -> Split:
    """The standard library, a tenth of its documents held out.

    Which documents there are depends on the Python that runs this; the split's ``source`` names its version and their
    digest.
    """
    documents = standard_library()
    return _split(documents, seed, f"Python {platform.python_version()}'s standard library, {_told(documents)}")


def from_path(path: Path, seed: int) -> Split:
    """A text file of the user, or a folder with text files (.txt, .md, .rst, .py).

    Of ten files or more, about a tenth of the text is held out, in whole files, and files that repeat each other stay
    together; of fewer, the last tenth of each. Files without text are left out.

    Raises:
        WrongUse: naming the file, the line and what is wrong with it.
    """
    files = sorted(_text_files(path))
    if not files:
        raise WrongUse(f"{path} holds no text file", f"give a text, or a folder with {', '.join(_TEXT_SUFFIXES)}")
    read = {file.relative_to(path if path.is_dir() else path.parent).as_posix(): _read(file) for file in files}
    documents = {name: text for name, text in read.items() if text.strip()}
    if not documents:
        raise WrongUse(f"{path}: {', '.join(read)} {'is' if len(read) == 1 else 'are'} empty", "give a file with text")
    return _split(documents, seed, f"{path.name}, {_told(documents)}")


def parts_of(documents: Mapping[str, str], seed: int) -> tuple[dict[str, str], dict[str, str]]:
    """The documents for training, and the held-out ones; documents that repeat each other are never divided.

    Raises:
        WrongUse: where ten documents or more all repeat each other.
    """
    if len(documents) < _FEW_DOCUMENTS:
        cuts = {name: len(text) - len(text) // 10 for name, text in documents.items()}
        return (
            {name: text[: cuts[name]] for name, text in documents.items()},
            {name: text[cuts[name] :] for name, text in documents.items()},
        )
    held_out = _held_out_names(documents, seed)
    return (
        {name: text for name, text in documents.items() if name not in held_out},
        {name: text for name, text in documents.items() if name in held_out},
    )


def _held_out_names(documents: Mapping[str, str], seed: int) -> set[str]:
    """Names of whole groups with about a tenth of all characters, in an order that the seed decides."""
    groups = repeating_groups(documents)
    if len(groups) < 2:
        raise WrongUse(
            f"the {len(documents)} documents repeat each other, so that none can be held out",
            "give documents that differ, or one file with all of the text",
        )
    sizes = [sum(len(documents[name]) for name in group) for group in groups]
    left = sum(sizes) // 10
    held_out: set[str] = set()
    for number in sorted(
        range(len(groups)), key=lambda number: hashlib.sha256(f"{seed}:{groups[number][0]}".encode()).digest()
    ):
        if sizes[number] <= left:
            held_out.update(groups[number])
            left -= sizes[number]
    # Where each group is larger than a tenth, the smallest one is.
    return held_out or set(groups[sizes.index(min(sizes))])


def bytes_of(tokens: Array) -> bytes:
    """The text of tokens [tokens]."""
    table = vocabulary().bytes_of
    return b"".join(table[token] for token in tokens.tolist())


def _split(documents: Mapping[str, str], seed: int, source: str) -> Split:
    train, test = (_windows(part) for part in parts_of(documents, seed))
    if not len(train) or not len(test):
        raise WrongUse(
            f"{source} holds too little text",
            f"give {CONTEXT + 1} tokens (about {3 * CONTEXT} characters) for training and as many to hold out",
        )
    return Split({"token": train}, {"token": test[:: -(-len(test) // _MAX_TEST_WINDOWS)]}, source)


def _windows(documents: Mapping[str, str]) -> Array:
    """Tokens [windows, CONTEXT + 1] of all documents, one after the other in an order without meaning."""
    words = vocabulary()
    order = sorted(documents, key=lambda name: hashlib.sha256(name.encode()).digest())
    tokens: list[int] = []
    for name in order:
        tokens += [words.end_of_text, *words.encode(documents[name])]
    count = (len(tokens) - 1) // CONTEXT
    starts = np.arange(count)[:, None] * CONTEXT
    return np.asarray(tokens, dtype=np.int64)[starts + np.arange(CONTEXT + 1)]


def _told(documents: Mapping[str, str]) -> str:
    joined = hashlib.sha256()
    for name, text in documents.items():
        joined.update(f"{name}\0{text}\0".encode())
    return f"{len(documents)} documents, SHA-256 {joined.hexdigest()[:16]}"


def _text_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file() and file.suffix in _TEXT_SUFFIXES)
    else:
        raise WrongUse(f"there is no file or folder {path}", "give a text, or a folder with texts, as --data")


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}", "give a readable text") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise WrongUse(
            f"{path}, line {line}: byte {content[error.start]:#04x} is no UTF-8", "save it as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise WrongUse(f"{path}, line {line}: a NUL character; this is no text", "give a text file")
    return text
