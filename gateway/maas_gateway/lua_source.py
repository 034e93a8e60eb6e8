"""The Lua of the admission filter as one text: each file a module, the settings a module of their own.

Envoy takes the text inline, so that a container needs no file of ours beside it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from maas_gateway.admission_settings import AdmissionSettings

_MODULES = (
    "affinity",
    "answered",
    "refusal",
    "utf8",
    "numbers",
    "json",
    "tensor",
    "infer_json",
    "protobuf",
    "infer_grpc",
    "routes",
    "sha256",
    "keys",
    "limits",
    "main",
)

_ENTRIES = """\
envoy_on_request = require("maas.main").on_request
envoy_on_response = require("maas.answered").on_response
"""


def lua_source(settings: AdmissionSettings) -> str:
    """The whole filter for ``settings``."""
    parts = [_module("settings", f"return {_table(settings)}")]
    parts += [_module(name, _file(name)) for name in _MODULES]
    return "\n".join([*parts, _ENTRIES])


def _module(name: str, text: str) -> str:
    return f'package.preload["maas.{name}"] = function()\n{text}\nend'


@cache
def _file(name: str) -> str:
    return resources.files("maas_gateway").joinpath("lua", f"{name}.lua").read_text("utf-8")


def _table(settings: AdmissionSettings) -> str:
    values = settings.model_dump(mode="json", exclude={"state"}) | {"keys_file": str(settings.keys_file)}
    return "{" + ", ".join(f"{name} = {_literal(value)}" for name, value in values.items()) + "}"


def _literal(value: object) -> str:
    """``value`` as Lua writes it: text by decimal escapes, so that nothing in it can end the literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'
    return repr(value)
