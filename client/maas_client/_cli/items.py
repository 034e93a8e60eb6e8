"""What the command line names: files, texts, standard input, and values of further inputs."""

from __future__ import annotations

import json
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maas_client._check import hint
from maas_client._map import with_batch_axis
from maas_client._spec import ModelSpec, TensorSpec
from maas_client.errors import NameMismatchError, RefusedValueError, ShapeMismatchError

STANDARD_INPUT = "-"
TEXT_INPUTS = frozenset({"text", "prompt"})
"""Inputs of these names take what a person types; bytes of any other name are those of a file (a picture)."""
_ARRAY_SUFFIXES = frozenset({".npz", ".json"})
_FILE_SUFFIXES = _ARRAY_SUFFIXES | {".txt", ".csv", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"}
"""Nobody means such a name as the text itself."""
_BROKEN = (
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile, numpy and json raise for a broken file; an encrypted or deeply nested one is a RuntimeError."""
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to ask about.

    Attributes:
        shown: what it is called in the answer.
        source: a file, the bytes of standard input, or a text as it was typed; None where there is only ``--input``.
    """

    shown: str
    source: Path | bytes | str | None

    @property
    def is_arrays(self) -> bool:
        """Whether it is a file of arrays, batch axis and all."""
        return isinstance(self.source, Path) and self.source.suffix in _ARRAY_SUFFIXES

    def content(self) -> bytes | str:
        """The text as it was typed, or the bytes.

        Raises:
            RefusedValueError: the file cannot be read.
        """
        if not isinstance(self.source, Path):
            return self.source or b""
        try:
            return self.source.read_bytes()
        except OSError as error:
            raise RefusedValueError(
                f"{self.source} cannot be read: {error.strerror or error}; give a readable file"
            ) from error


@dataclass(frozen=True, slots=True)
class Target:
    """What the items are sent to.

    Attributes:
        spec: the model.
        given: values of further inputs, without the batch axis.
    """

    spec: ModelSpec
    given: Mapping[str, Any]

    @property
    def takes_text(self) -> bool:
        """Whether the one required input is a text."""
        missing = self.missing
        return len(missing) == 1 and missing[0].datatype == "BYTES" and missing[0].name in TEXT_INPUTS

    @property
    def missing(self) -> list[TensorSpec]:
        """The required inputs that were not given yet."""
        return [one for one in self.spec.inputs.values() if not one.optional and one.name not in self.given]

    def only_input(self, shown: str) -> TensorSpec:
        """The input that an item stands for.

        Raises:
            ShapeMismatchError: one item cannot fill what is missing.
        """
        if len(self.missing) != 1:
            names = ", ".join(repr(name) for name in self.spec.inputs)
            raise ShapeMismatchError(
                f"{shown}: {self.spec.name} takes {names}; pass an .npz or .json file that names each of them, or "
                "all but one as --input NAME=VALUE",
                model=self.spec.name,
            )
        return self.missing[0]

    def sample(self, item: Item) -> dict[str, Any]:
        """The values of one item, without the batch axis.

        Raises:
            InputError: the item cannot be read, or is no value of the model's input.
        """
        if item.source is None:
            return dict(self.given)
        tensor = self.only_input(item.shown)
        if tensor.datatype != "BYTES":
            raise ShapeMismatchError(
                f"{item.shown}: {self.spec.name} takes {tensor.datatype} numbers; pass them as .npz or .json",
                model=self.spec.name,
            )
        content = item.content()
        if isinstance(content, bytes) and tensor.name in TEXT_INPUTS:
            # Editors and echo end a text with a line end that is no part of it.
            content = content.removesuffix(b"\n").removesuffix(b"\r")
        return {**self.given, tensor.name: content}

    def request(self, item: Item) -> dict[str, Any]:
        """The values of one item as a request of its own, with the batch axis.

        Raises:
            InputError: as for :meth:`sample`.
        """
        given = self.batched(self.given)
        if item.is_arrays and isinstance(item.source, Path):
            return {**given, **self._arrays(item.source)}
        return self.batched(self.sample(item))

    def batched(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of one sample with the batch axis, where the model has one."""
        if not self.spec.max_batch_size:
            return dict(values)
        return {name: with_batch_axis(value) for name, value in values.items()}

    def _arrays(self, path: Path) -> dict[str, Any]:
        """An ``.npz`` file holds an array per input; a ``.json`` file an object of values per input, or one value."""
        try:
            if path.suffix == ".npz":
                if not zipfile.is_zipfile(path):
                    raise ValueError("it is no archive of arrays (np.savez)")
                with np.load(path, allow_pickle=False) as archive:
                    return {name: archive[name] for name in archive.files}
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RefusedValueError(
                f"{path} cannot be read: {error.strerror or error}; give a readable file", model=self.spec.name
            ) from error
        except _BROKEN as error:
            raise RefusedValueError(
                f"{path} is no readable {path.suffix} file: {str(error).partition(chr(10))[0]}", model=self.spec.name
            ) from error
        return value if isinstance(value, dict) else {self.only_input(str(path)).name: value}


def open_items(arguments: Sequence[str], target: Target) -> list[Item]:
    """What each INPUT of the command line means; standard input is read here.

    Raises:
        RefusedValueError: there is no such file, nothing to send, or standard input is named twice.
    """
    if arguments.count(STANDARD_INPUT) > 1:
        raise RefusedValueError("'-' is standard input, which can be read once; name it once")
    if not arguments and target.missing:
        names = " or ".join(repr(tensor.name) for tensor in target.missing)
        what = "a text" if target.takes_text else "a file"
        raise RefusedValueError(f"{target.spec.name} wants {names}; give {what} as INPUT, or --input NAME=VALUE")
    # PTH113: Path.is_file raises for a text that is too long for a name.
    missing = [
        argument
        for argument in arguments
        if argument != STANDARD_INPUT
        and not os.path.isfile(argument)  # noqa: PTH113  # see above
        and not (target.takes_text and _reads_as_text(argument))
    ]
    if missing:
        raise RefusedValueError(f"no such file: {', '.join(map(shown, missing))}; give the paths of the files to send")
    return [_item(argument) for argument in arguments] or [Item("--input", None)]


def _reads_as_text(argument: str) -> bool:
    """A sentence may end with the name of a file."""
    return Path(argument).suffix.lower() not in _FILE_SUFFIXES or any(map(str.isspace, argument))


def shown(argument: str) -> str:
    """An argument for people and JSON: bytes that are no UTF-8 become U+FFFD."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _item(argument: str) -> Item:
    if argument == STANDARD_INPUT:
        return Item(argument, sys.stdin.buffer.read())
    is_file = os.path.isfile(argument)  # noqa: PTH113  # as in open_items
    return Item(shown(argument), Path(argument) if is_file else argument)


def given_values(pairs: Sequence[str], spec: ModelSpec) -> dict[str, Any]:
    """The values of ``--input NAME=VALUE``, without the batch axis; a name that is given again makes a list.

    Raises:
        InputError: the model has no such input, or the value is none of its type.
    """
    values: dict[str, list[Any]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise RefusedValueError(f"--input wants NAME=VALUE, got {pair!r}")
        if name not in spec.inputs:
            raise NameMismatchError(
                f"{spec.name} has no input {name!r}; it takes {hint(name, spec.inputs)}", model=spec.name
            )
        values.setdefault(name, []).append(_value(spec.inputs[name], text))
    return {name: _shaped(spec, spec.inputs[name], several) for name, several in values.items()}


def _value(tensor: TensorSpec, text: str) -> Any:
    if tensor.datatype == "BYTES":
        return text
    try:
        if tensor.datatype == "BOOL":
            return _BOOLEANS[text.strip().lower()]
        return float(text) if tensor.datatype.startswith(("FP", "BF")) else int(text)
    except (ValueError, KeyError) as error:
        wanted = "true or false" if tensor.datatype == "BOOL" else "a number"
        raise RefusedValueError(f"--input {tensor.name} wants {wanted} ({tensor.datatype}), got {text!r}") from error


def _shaped(spec: ModelSpec, tensor: TensorSpec, values: list[Any]) -> Any:
    inner = tensor.shape[1:] if spec.max_batch_size else tensor.shape
    if len(inner) == 1 and inner[0] in {-1, len(values)}:
        return values
    if len(values) == 1 and all(size in {-1, 1} for size in inner):
        return values[0]
    raise ShapeMismatchError(
        f"--input {tensor.name}: {spec.name} wants the shape {list(inner)}, got {len(values)} value(s); repeat the "
        "option for a list, or pass an .npz or .json file",
        model=spec.name,
    )
