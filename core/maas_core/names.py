"""Which model names are allowed."""

from __future__ import annotations

import re

from maas_core.errors import WrongUse

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def is_model_name(name: str) -> bool:
    """Whether ``name`` is safe as a folder, in a URL, and on the command line of Triton's Python stub."""
    return _MODEL_NAME.fullmatch(name) is not None


def check_model_name(name: str) -> str:
    """Returns ``name`` where it is safe as a folder and in a URL.

    Triton hands a model's name to a shell when it starts a Python model (CVE-2025-23316), so anything but letters,
    digits, ``_``, ``.`` and ``-`` is refused.

    Raises:
        WrongUse: where it is not.
    """
    if not is_model_name(name):
        raise WrongUse(
            f"{name[:120]!r} cannot be a model's name",
            "use 1 to 100 letters, digits, '_', '.' or '-', a letter or digit first",
        )
    return name
