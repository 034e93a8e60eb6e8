"""The reference is what the docstrings say, and the docstrings say everything."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from tests.client.reference import PAGE, documented, function_of, is_error, members, reference, sections_of

CLASSES = {name: value for name, value in documented().items() if isinstance(value, type) and not is_error(value)}
METHODS = {
    f"{name}.{member}": value
    for name, cls in CLASSES.items()
    for member, value in members(cls)
    if not isinstance(value, property)
}


def names_told(entries: list[str]) -> set[str]:
    return {name for entry in entries for name in entry.partition(": ")[0].split(", ")}


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "the docstrings changed: run `make docs`"


def test_everything_public_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [name for name, value in documented().items() if isinstance(value, type) and f"`{name}`" not in page]
    assert not missing


@pytest.mark.parametrize("name", METHODS)
def test_each_argument_is_described(name: str) -> None:
    value = METHODS[name]
    prose, sections = sections_of(function_of(value))
    assert prose, f"{name} says nothing"
    if re.search(r"[Ss]ee :meth:|arguments as of :meth:|like :meth:", prose):
        return
    parameters = [
        parameter.name
        for parameter in inspect.signature(function_of(value)).parameters.values()
        if parameter.name not in {"self", "cls"}
    ]
    told = names_told(sections.get("Args", []))
    if not told:
        # One or two arguments that the sentence itself explains.
        assert len(parameters) <= 3, f"{name} has arguments that nothing describes: {parameters}"
        return
    assert told == set(parameters)


@pytest.mark.parametrize("name", CLASSES)
def test_each_attribute_of_a_record_is_described(name: str) -> None:
    fields: dict[str, Any] = getattr(CLASSES[name], "__dataclass_fields__", {})
    if fields:
        assert names_told(sections_of(CLASSES[name])[1]["Attributes"]) == set(fields)
