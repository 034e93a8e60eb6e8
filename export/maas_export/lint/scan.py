"""Reading a model repository, or one bundle, as it lies on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from maas_core.config import CONFIG_FILE, parse_config
from maas_core.errors import WrongUse
from maas_core.manifest import MANIFEST_FILE
from maas_export.lint.fields import Fields

NOT_VERSIONS = frozenset({"configs", "initial_state", "warmup"})
"""The folders in a model's root that Triton reads for something else."""
_LEADING_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")
_PLAIN_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_HIGHEST_INT64 = 2**63 - 1
_HIGHEST_OF_OURS = 2**31 - 1
_BACKEND_OF_PLATFORM = {
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "tensorrt_plan": "tensorrt",
}
_BACKEND_OF_FILE = {
    "model.graphdef": "tensorflow",
    "model.savedmodel": "tensorflow",
    "model.plan": "tensorrt",
    "model.onnx": "onnxruntime",
    "model.xml": "openvino",
    "model.pt": "pytorch",
    "model.py": "python",
}
"""In the order in which Triton looks (``AutoCompleteBackendFields`` of ``model_config_utils.cc``)."""
PLATFORM_OF_BACKEND = {
    "onnxruntime": ("onnxruntime_onnx",),
    "pytorch": ("pytorch_libtorch",),
    "tensorflow": ("tensorflow_graphdef", "tensorflow_savedmodel"),
    "tensorrt": ("tensorrt_plan",),
}


@dataclass(frozen=True)
class Unreadable:
    """Why a configuration cannot be used.

    Attributes:
        is_syntax: Triton's parser refuses the text; otherwise the file cannot be read at all.
    """

    reason: str
    line: int | None
    is_syntax: bool


@dataclass(frozen=True)
class Folder:
    """A folder in a model's root.

    Attributes:
        number: the version that Triton takes it for (C's ``strtoll``: what follows the digits does not count); ``None``
            where it takes it for none.
    """

    path: Path
    number: int | None

    @property
    def is_plain(self) -> bool:
        """Whether the name is the number and nothing else, and one that our own tools see."""
        plain = _PLAIN_VERSION.fullmatch(self.path.name) is not None
        return plain and self.number is not None and self.number <= _HIGHEST_OF_OURS

    @property
    def overflows(self) -> bool:
        """Whether the number is more than Triton's 64 bits hold."""
        return self.number is not None and abs(self.number) > _HIGHEST_INT64


@dataclass
class Model:
    """One model.

    Attributes:
        name: the folder's name in a repository; in a bundle the one in its configuration.
        folder: the model's root; a bundle's is also its only version.
        text: what ``config.pbtxt`` holds; empty where there is none.
        config: the message; ``None`` where there is none that can be used.
    """

    name: str
    folder: Path
    is_bundle: bool
    text: str = ""
    config: Any = None
    unreadable: Unreadable | None = None
    files: tuple[str, ...] = ()
    folders: tuple[Folder, ...] = ()
    _contents: dict[Path, frozenset[str]] = field(default_factory=dict)

    @property
    def config_path(self) -> Path:
        """Where its ``config.pbtxt`` is, or would be."""
        return self.folder / CONFIG_FILE

    @cached_property
    def fields(self) -> Fields:
        """Where the fields of the configuration stand."""
        return Fields(self.text)

    @property
    def is_ensemble(self) -> bool:
        """Whether it is made of other models."""
        return self.config is not None and (
            self.config.platform == "ensemble" or self.config.HasField("ensemble_scheduling")
        )

    @property
    def versions(self) -> Mapping[int, Path]:
        """The versions that Triton finds, lowest first, with the folder in which it then looks."""
        if self.is_bundle:
            return {1: self.folder}
        numbers = sorted({entry.number for entry in self.folders if entry.number is not None and not entry.overflows})
        return {number: self.folder / str(number) for number in numbers}

    @property
    def served(self) -> Mapping[int, Path]:
        """The versions that the version policy chooses (``VersionsToLoad`` of ``model_lifecycle.cc``)."""
        found = self.versions
        if self.is_bundle or self.config is None:
            return found
        policy = self.config.version_policy
        if policy.HasField("specific"):
            return {number: path for number, path in found.items() if number in set(policy.specific.versions)}
        if policy.HasField("all"):
            return found
        newest = policy.latest.num_versions if policy.HasField("latest") else 1
        return {number: found[number] for number in sorted(found)[max(0, len(found) - newest) :]}

    @property
    def backend(self) -> str:
        """The backend that is named, or that Triton finds out from platform and file names; empty where it cannot."""
        if self.config is None:
            return self._backend_of_files()
        if self.is_ensemble or self.config.backend:
            return str(self.config.backend)
        named = _BACKEND_OF_PLATFORM.get(self.config.platform) or _BACKEND_OF_FILE.get(
            self.config.default_model_filename
        )
        if named or self.config.platform or self.config.default_model_filename:
            return named or ""
        return self._backend_of_files()

    @property
    def model_file(self) -> str:
        """The file that the backend opens in a version folder; empty where that is the backend's own affair."""
        if self.config is not None and self.config.default_model_filename:
            return str(self.config.default_model_filename)
        if self.backend == "tensorflow":
            return ""
        return next((name for name, backend in _BACKEND_OF_FILE.items() if backend == self.backend), "")

    def contents(self, folder: Path) -> frozenset[str]:
        """The names in a version folder; nothing where it is not there or may not be read."""
        if folder not in self._contents:
            try:
                self._contents[folder] = frozenset(os.listdir(folder))  # noqa: PTH208  # names, not a Path for each
            except OSError:
                self._contents[folder] = frozenset()
        return self._contents[folder]

    def _backend_of_files(self) -> str:
        """Triton looks into the first folder by name."""
        first = min((entry.path for entry in self.folders), default=None)
        names = self.contents(first) if first is not None else frozenset()
        return next((backend for file, backend in _BACKEND_OF_FILE.items() if file in names), "")


def scan(root: Path) -> list[Model]:
    """The models of a repository; or the one whose folder, or whose bundle, ``root`` is.

    Raises:
        WrongUse: where ``root`` is no folder that can be read.
    """
    if not root.is_dir():
        raise WrongUse(f"there is no model repository or bundle at {root}", "name a folder that holds models")
    try:
        if (root / MANIFEST_FILE).is_file():
            return [_bundle(root)]
        if (root / CONFIG_FILE).is_file():
            return [_model(root)]
        return [_model(entry) for entry in sorted(root.iterdir()) if entry.is_dir() and entry.name[0] != "."]
    except PermissionError as error:
        raise WrongUse(f"{error.filename} cannot be read", "give yourself the right to read it") from error


def neighbours(model: Model) -> Iterator[Model]:
    """The models that lie beside one that is looked at alone: an ensemble may be made of them."""
    own = model.folder.absolute()
    if not model.is_bundle:
        yield from scan(own.parent)
        return
    for config in sorted(own.parent.parent.glob(f"*/[!.]*/{CONFIG_FILE}")):
        if (config.parent / MANIFEST_FILE).is_file() and config.parent != own:
            yield _bundle(config.parent)


def _bundle(folder: Path) -> Model:
    model = Model(folder.name, folder, is_bundle=True)
    _read_config(model)
    if model.config is not None:
        model.name = model.config.name
    return model


def _model(folder: Path) -> Model:
    model = Model(folder.name, folder, is_bundle=False)
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(Folder(Path(entry.path), _version_number(entry.name)))
                else:
                    files.append(entry.name)
    except PermissionError as error:
        model.unreadable = Unreadable(_one_line(error), None, is_syntax=False)
        return model
    model.folders = tuple(sorted(folders, key=lambda found: found.path.name))
    model.files = tuple(sorted(files))
    _read_config(model)
    return model


def _version_number(name: str) -> int | None:
    if name in NOT_VERSIONS or (len(name) > 1 and name[0] == "0"):
        return None
    digits = _LEADING_NUMBER.match(name)
    return int(digits.group()) if digits else None


def _read_config(model: Model) -> None:
    try:
        model.text = model.config_path.read_text(encoding="utf-8")
        model.config = parse_config(model.text, CONFIG_FILE)
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        model.unreadable = Unreadable(_one_line(error), None, is_syntax=False)
    except WrongUse as error:
        cause = error.__cause__
        line = cause.GetLine() if isinstance(cause, text_format.ParseError) else None
        model.unreadable = Unreadable(_one_line(cause or error), line, is_syntax=True)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def names_of(tensors: Sequence[Any]) -> list[str]:
    """The names of entries of ``input`` or ``output``."""
    return [str(tensor.name) for tensor in tensors]
