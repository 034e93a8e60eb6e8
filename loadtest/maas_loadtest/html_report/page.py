"""The parts that every page is put together from, and the making of its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_PACKAGE = "maas_loadtest.html_report"


@dataclass(frozen=True)
class Tile:
    """One figure that everybody looks for; ``tone`` is "good", "bad", "warn", "dim" or ""."""

    name: str
    value: str
    more: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Toned:
    """A table's cell in a colour."""

    text: str
    tone: str


Cell = str | Toned


@dataclass(frozen=True)
class Table:
    """Columns from ``numbers_from`` on hold numbers and stand to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers_from: int = 1


@cache
def _environment() -> Environment:
    # The template of a page holds no raw text of a report: all that is put in is escaped.
    return Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """The page of that template as text."""
    environment = _environment()
    loader = environment.loader
    assert loader is not None  # noqa: S101  # given above
    style = Markup(loader.get_source(environment, "style.css")[0])  # noqa: S704  # a file of this package
    return environment.get_template(template).render(style=style, **values)


def held(yes: bool) -> Toned:
    """Whether something held, in words and colour."""
    return Toned("✓ held", "good") if yes else Toned("✗ not held", "bad")
