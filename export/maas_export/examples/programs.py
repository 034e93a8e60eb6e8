"""Example programs in four languages, rendered from the templates beside this file."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from maas_export.catalogue import CatalogueModel
from maas_export.examples.example_call import ExampleCall, example_call

FILE_OF_LANGUAGE = {"curl": "call.sh", "python": "call.py", "javascript": "call.mjs", "go": "call.go"}
_TEMPLATES = Path(__file__).with_name("templates")


def programs_of(model: CatalogueModel) -> dict[str, str]:
    """Language -> the text of the program that makes the model's example call; none for a model without one."""
    call = example_call(model)
    if call is None:
        return {}
    environment = _environment()
    values = _values(call)
    return {
        language: environment.get_template(f"{call.kind}{Path(file).suffix}.j2").render(values)
        for language, file in FILE_OF_LANGUAGE.items()
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        comment_start_string="<#",  # the shell's ${#name} would start a comment
        comment_end_string="#>",
        autoescape=False,  # noqa: S701  # programs, no HTML
    )
    environment.filters |= {
        "literal": _literal,
        "python_literal": _python_literal,
        "shell_literal": shlex.quote,
        "in_single_quotes": lambda text: text.replace("'", r"\u0027"),
        "in_format": lambda text: text.replace("%", "%%").replace("`", r"\u0060"),
    }
    return environment


def _values(call: ExampleCall) -> dict[str, Any]:
    before, after = call.inputs_around_argument()
    return {
        "call": call,
        "argument": call.argument,
        "name": call.argument.tensor.name,
        "before": before,
        "after": after,
        "fields": {tensor.name: value for tensor, value in call.further},
    }


def _literal(value: Any) -> str:
    """A JSON text, which JavaScript, and Go for strings, read alike."""
    return json.dumps(value, ensure_ascii=False)


def _python_literal(value: Any) -> str:
    """As ``ruff format`` writes it: double quotes wherever they need no escape."""
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        return repr(value) if '\\"' in quoted and "'" not in value else quoted
    if isinstance(value, list):
        return f"[{', '.join(map(_python_literal, value))}]"
    return repr(value)
