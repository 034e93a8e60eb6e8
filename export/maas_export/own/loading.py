"""Running a user's file, which may do anything: whatever goes wrong in it becomes one line that names the place."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from maas_core.errors import WrongUse
from maas_export.own.model import OwnModel

_MODULE = "maas_own_model"
Result = TypeVar("Result")


@contextmanager
def user_code(path: Path, doing: str) -> Iterator[None]:
    """Code of the user's runs here.

    Args:
        path: the user's file, of which errors name the line.
        doing: what is done, e.g. ``while it was loaded``.

    Raises:
        WrongUse: for whatever the code raises, ending the program included.
    """
    try:
        yield
    except WrongUse:
        raise
    except SystemExit as error:
        raise WrongUse(
            f"{_where(path, error)} ends the program {doing}", "put that under if __name__ == '__main__'"
        ) from error
    except SyntaxError as error:
        raise WrongUse(f"{path.name} line {error.lineno}: {error.msg}", "mend that line") from error
    except Exception as error:  # a user's code may raise anything
        said = " ".join(str(error).split())[:300]
        raise WrongUse(f"{_where(path, error)} raises {type(error).__name__} {doing}: {said}", "mend it") from error


def load_own(path: Path, spec: str) -> OwnModel:
    """The :class:`OwnModel` of that name in a file; a function without parameters that returns one will do.

    Raises:
        WrongUse: where the file cannot be run, or holds none of that name.
    """
    if not path.is_file():
        raise WrongUse(f"{path} is no file", "name a Python file, e.g. net.py:SPEC")
    module = _run(path)
    value = getattr(module, spec, None)
    if callable(value) and not isinstance(value, type):
        value = _call(path, spec, value)
    if isinstance(value, OwnModel):
        return value
    others = sorted(name for name, other in vars(module).items() if isinstance(other, OwnModel))
    is_there = f"is {type(value).__name__}, no OwnModel" if hasattr(module, spec) else "is missing"
    mend = f"it has {', '.join(others)}" if others else f"write {spec} = OwnModel(module=…, inputs=…, axes=…)"
    raise WrongUse(f"{spec} {is_there} in {path.name}", mend)


def _run(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(_MODULE, path)
    if found is None or found.loader is None:
        raise WrongUse(f"{path} is no Python file", "name a file that ends in .py")
    module = importlib.util.module_from_spec(found)
    # Dataclasses look their module up; the file's siblings are imported as if it were the program.
    sys.modules[_MODULE] = module
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    with user_code(path, "while it was loaded"):
        found.loader.exec_module(module)
    return module


def _call(path: Path, spec: str, function: Callable[[], Result]) -> Result:
    with user_code(path, f"in {spec}()"):
        return function()


def _where(path: Path, error: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path.name} line {lines[-1]}" if lines else path.name
