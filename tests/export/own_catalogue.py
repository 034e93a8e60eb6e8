"""``python -m tests.export.own_catalogue``: ``maas`` with the networks of ``families/`` in its catalogue."""

from __future__ import annotations

from pathlib import Path

import maas_export.models
from maas_core.cli import main

FAMILIES = Path(__file__).parent / "families"


def add_families() -> None:
    """Makes the networks of the tests known, as if their files lay in the catalogue."""
    maas_export.models.__path__.append(str(FAMILIES))


if __name__ == "__main__":
    add_families()
    main()
