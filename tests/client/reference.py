"""Writes ``docs/reference/client.md`` from the docstrings: ``python -m tests.client.reference`` (``make docs``)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import maas_client
import maas_client.testing
from maas_client.errors import ERROR_TABLE, MaasClientError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "client.md"
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")
_HEAD = """# The client: reference

Generated from the docstrings by `make docs`; change those, not this page. How to use it is told in
[client.md](../client.md).

Shapes stand in brackets with the batch axis first; times are seconds (`_s`) unless their name has another unit.
"""
_LINE = 100
_MADE_BY_USERS = ("Client", "AsyncClient", "Breaker", "Retry", "TLS")
_ENTRY = re.compile(r"^(?P<name>[\w.]+(?:, [\w.]+)*): (?P<text>.*)$", re.DOTALL)


def documented() -> dict[str, Any]:
    """Everything public, by the name that users import."""
    found = {name: getattr(maas_client, name) for name in sorted(maas_client.__all__)}
    for name in ("FakeTransport", "FakeCall"):
        found[f"testing.{name}"] = getattr(maas_client.testing, name)
    return found


def is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, MaasClientError)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that are a class's own or its private bases', in the order of the source."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if base is not cls and not (base.__module__.startswith("maas_client") and base.__name__ == "BaseClient"):
            continue
        for name, value in vars(base).items():
            kind = isinstance(value, (property, classmethod, staticmethod)) or inspect.isfunction(value)
            if kind and not name.startswith("_") and name not in seen and not isinstance(value, cached_property):
                seen.add(name)
                yield name, value


def function_of(value: Any) -> Callable[..., Any]:
    if isinstance(value, property):
        assert value.fget is not None
        return value.fget
    return value.__func__ if isinstance(value, (classmethod, staticmethod)) else value


def sections_of(value: Any) -> tuple[str, dict[str, list[str]]]:
    """The prose of a docstring, and the entries of its sections."""
    prose: list[str] = []
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in (inspect.getdoc(value) or "").splitlines():
        title = line.removesuffix(":")
        if line.endswith(":") and title in SECTIONS:
            current = sections.setdefault(title, [])
        elif current is None:
            prose.append(line)
        elif line.startswith("        "):
            current[-1] += f" {line.strip()}"
        elif line.strip():
            current.append(line.strip())
    return "\n".join(prose).strip(), sections


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?(?:maas_client\.)?([^`]*)`", r"`\1`", text)
    return text.replace("``", "`")


def _prose(text: str) -> str:
    """A block behind ``::`` is Python."""
    parts = re.split(r"::\n\n((?:    .*\n?|\n)+)", _markdown(text) + "\n")
    shown = [part.strip() if number % 2 == 0 else _code(part) for number, part in enumerate(parts)]
    return "\n\n".join(part for part in shown if part)


def _code(block: str) -> str:
    return f"```python\n{inspect.cleandoc(block)}\n```"


def _section(title: str, entries: list[str]) -> Iterator[str]:
    yield f"*{title}*"
    yield ""
    for entry in entries:
        match = _ENTRY.match(entry)
        yield f"- `{match['name']}`: {_markdown(match['text'])}" if match else f"- {_markdown(entry)}"
    yield ""


def _described(value: Any) -> Iterator[str]:
    prose, sections = sections_of(value)
    yield _prose(prose)
    yield ""
    for title, entries in sections.items():
        yield from _section(title, entries)


def _signature(name: str, value: Any) -> str:
    function = function_of(value)
    signature = inspect.signature(function)
    if isinstance(value, property):
        return f"{name}: {signature.return_annotation}"
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name not in {"self", "cls"}]
    keyword = "async def" if inspect.iscoroutinefunction(function) else "def"
    return _call(f"{keyword} {name}", parameters, f" -> {signature.return_annotation}")


def _call(beginning: str, parameters: list[inspect.Parameter], end: str) -> str:
    told = list(_with_marks(parameters))
    one_line = f"{beginning}({', '.join(told)}){end}"
    if len(one_line) <= _LINE:
        return one_line
    return "\n".join([f"{beginning}(", *(f"    {part}," for part in told), f"){end}"])


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{stars}{parameter.name}: {parameter.annotation}{default}"


def _with_marks(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """The parameters, and the marks between positional-only, ordinary and keyword-only ones."""
    kinds = [parameter.kind for parameter in parameters]
    for number, parameter in enumerate(parameters):
        before = kinds[number - 1] if number else None
        if before is inspect.Parameter.POSITIONAL_ONLY and parameter.kind is not before:
            yield "/"
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and before is not parameter.kind:
            yield "*"
        yield _parameter(parameter)


def _class(name: str, cls: Any) -> Iterator[str]:
    yield f"## `{name}`"
    yield ""
    if name in _MADE_BY_USERS:
        parameters = list(inspect.signature(cls).parameters.values())
        yield f"```python\n{_call(f'class {name}', parameters, '')}\n```"
        yield ""
    yield from _described(cls)
    for member, value in members(cls):
        yield f"### `{name}.{member}`"
        yield ""
        yield "```python"
        yield _signature(member, value)
        yield "```"
        yield ""
        yield from _described(function_of(value))
    source = inspect.getsourcefile(cls)
    assert source is not None
    yield f"Source: `{Path(source).relative_to(ROOT)}`"
    yield ""


def _errors() -> Iterator[str]:
    tree = (inspect.getdoc(maas_client.errors) or "").partition("::\n\n")[2].partition("\n\nEvery")[0]
    yield "## Errors"
    yield ""
    yield "```text"
    yield inspect.cleandoc(tree)
    yield "```"
    yield ""
    yield "| error | means | gRPC statuses | HTTP codes |"
    yield "|---|---|---|---|"
    rows = {row.error: row for row in ERROR_TABLE}
    for name, value in documented().items():
        if is_error(value):
            row = rows.get(value)
            statuses = ", ".join(row.grpc) if row else ""
            codes = ", ".join(map(str, row.http)) if row else ""
            meaning = " ".join(sections_of(value)[0].splitlines()).partition(". ")[0]
            yield f"| `{name}` | {_markdown(meaning)} | {statuses} | {codes} |"
    yield ""
    yield "Source: `client/maas_client/errors.py`"
    yield ""


def reference() -> str:
    """The whole page."""
    lines = [_HEAD]
    for name, value in documented().items():
        if isinstance(value, type) and not is_error(value):
            lines += _class(name, value)
    lines += _errors()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(reference(), encoding="utf-8")
