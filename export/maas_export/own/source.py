"""Where a torch module comes from, and where this machine keeps that in mind: never in the bundle itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from maas_core.errors import MaasError, WrongUse
from maas_core.files import sha256_of, write_atomic
from maas_core.layout import build_dir

if TYPE_CHECKING:
    from maas_export.own.adapter import Guard
    from maas_export.own.model import OwnModel


@dataclass(frozen=True)
class Source:
    """What makes an :class:`OwnModel`.

    Attributes:
        kind: a user's file, or a folder as Hugging Face's libraries write it.
        path: of the file or the folder, absolute.
        part: the name in the file; of a folder the part of the model, see :mod:`maas_export.huggingface.networks`.
        task: of a folder, what its model shall do.
    """

    kind: Literal["file", "huggingface"]
    path: str
    part: str
    task: str = ""

    @property
    def said(self) -> str:
        """How a person names it, without its folder."""
        name = Path(self.path).name
        return f"{name}:{self.part}" if self.kind == "file" else f"hf:{name} ({self.task}, {self.part})"

    def sha256(self) -> str:
        """Of the file; of a folder, of all files that are read.

        Raises:
            WrongUse: where it is not there.
        """
        path = Path(self.path)
        if self.kind == "file":
            if not path.is_file():
                raise WrongUse(f"{path} is no file", "name a Python file, e.g. net.py:SPEC")
            return sha256_of(path)
        from maas_export.huggingface.directory import files_of

        listing = {file.name: sha256_of(file) for file in files_of(path)}
        return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()

    def load(self) -> tuple[OwnModel, Guard]:
        """The model, built, and what its code is to run under.

        Raises:
            WrongUse: where it cannot be built.
        """
        from maas_export.own.loading import load_own, user_code

        path = Path(self.path)
        if self.kind == "file":
            return load_own(path, self.part), lambda doing: user_code(path, doing)
        from maas_export.huggingface.networks import load_part

        with user_code(path, "while it was built"):
            own = load_part(path, self.task, self.part)
        return own, lambda doing: user_code(path, doing)


def remember(model: str, source: Source) -> None:
    """Notes where the module behind ``model`` is, so that it can be asked again.

    Raises:
        MaasError: where the build folder cannot be written.
    """
    try:
        write_atomic(_note(model), json.dumps(asdict(source), indent=1) + "\n")
    except OSError as error:
        raise MaasError(f"{_note(model)} could not be written: {error}", "make room or give rights there") from error


def remembered(model: str) -> Source | None:
    """The source of ``model``; ``None`` where this machine does not know it, or it is gone."""
    try:
        source = Source(**json.loads(_note(model).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return source if Path(source.path).exists() else None


def _note(model: str) -> Path:
    return build_dir() / "sources" / f"{model}.json"
