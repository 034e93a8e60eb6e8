"""The options of a run: one table, from which both ``maas load run`` and plain ``locust -f`` take theirs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from maas_client._cli.options import API_KEY
from maas_core.errors import WrongUse
from maas_core.names import is_model_name
from maas_core.service_level import parse_service_level
from maas_loadtest.arrivals import KINDS

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")
_SECONDS_OF = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_MODEL = re.compile(r"(?P<name>[^=@]+)(?:@(?P<version>\d+))?(?:=(?P<weight>\d+(?:\.\d+)?))?")
_SECRET = "--api-key"  # noqa: S105  # the option's name
LONGEST_S = 24 * 3600.0
INPUT_SOURCES = ("auto", "golden", "generated")


@dataclass(frozen=True)
class Option:
    """One option: ``--name-with-dashes``.

    Attributes:
        default: None where the scenario or the model decides.
        kind: ``text``, ``seconds``, ``number``, ``count`` or ``share``.
        help: one sentence.
    """

    name: str
    kind: str
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """As on a command line."""
        return "--" + self.name.replace("_", "-")


OPTIONS = (
    Option("url", "text", "grpc://127.0.0.1:8001", "The server: grpc://HOST:PORT or http://HOST:PORT."),
    Option("model", "text", None, "What to call: MODEL, MODEL@VERSION, or several with weights: a=3,b=1."),
    Option("rate", "number", None, "Requests (or sequences, or streams) per second of an open loop."),
    Option("duration", "seconds", None, "How long to measure: 60, 90s, 5m, 1h."),
    Option("warmup", "seconds", 2.0, "Requests before the measurement, for so long; they are not counted."),
    Option("arrivals", "text", None, f"How requests arrive in an open loop: {', '.join(KINDS)}."),
    Option("burstiness", "number", 4.0, "Of gamma arrivals: squared coefficient of variation of their distances."),
    Option("callers", "count", None, "Callers of a closed loop, each with one request under way."),
    Option("in_flight", "count", 512, "Requests that may be under way at a time; what cannot be sent is dropped."),
    Option("batch_size", "count", None, "Rows of each request."),
    Option("inputs", "text", "auto", "golden, generated, auto (golden if there are any), or files, commas between."),
    Option("steps", "count", 8, "Steps of each sequence, where the golden samples are longer."),
    Option("seed", "count", 0, "Of schedule, choice of inputs and choice of compared answers."),
    Option("slo", "text", None, "The objective, e.g. p99=20ms,errors=0.1%; default: the model's own."),
    Option("check_share", "share", 0.01, "Share of the answers that is compared."),
    Option("timeout", "seconds", 10.0, "A request without an answer for so long is an error."),
    Option("late_after", "seconds", 0.01, "A request sent so long after its moment counts as delayed."),
    Option("min_duration", "seconds", 30.0, "A shorter measurement is not valid."),
    Option("min_requests", "count", None, "So is one with fewer answers; default: by the objective's percentile."),
    Option("max_cpu", "number", 80.0, "Nor is one in which a worker needs more of its core, in per cent."),
    Option("trace", "text", None, "JSON Lines of requests with times, for replay."),
    Option("speed", "number", 1.0, "Of replay: 2 is twice as fast as it was recorded."),
    Option("agreement", "text", "required", "required: client and server must count the same; shown: it is only told."),
    Option("repository", "text", "model_repository", "Where golden samples and manifests lie."),
    Option("api_key", "text", None, "Sent as X-API-Key; better in the environment as MAAS_API_KEY."),
    Option("price_per_hour", "number", None, "Of the machine that serves: the report tells the cost per million."),
    Option("report", "text", None, "Folder for the report; default: build/reports/load/TIME-SCENARIO."),
)


@dataclass(frozen=True)
class ModelChoice:
    """One model of the mix.

    Attributes:
        version: "" leaves the choice to the server.
        batch_size: 0 takes the run's.
        steps: of a sequence; 0 takes the run's.
    """

    name: str
    version: str
    weight: float
    batch_size: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Settings:
    """All options of one run, checked. Times are in seconds; see :data:`OPTIONS` for what each means."""

    url: str
    model: tuple[ModelChoice, ...]
    rate: float
    duration: float
    warmup: float
    arrivals: str
    burstiness: float
    callers: int
    in_flight: int
    batch_size: int
    inputs: str
    steps: int
    seed: int
    slo: str | None
    check_share: float
    timeout: float
    late_after: float
    min_duration: float
    min_requests: int | None
    max_cpu: float
    trace: str | None
    speed: float
    agreement: str
    repository: str
    api_key: str | None
    price_per_hour: float | None
    report: str | None

    def shown(self) -> dict[str, Any]:
        """For the report, without secrets."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["model"] = ",".join(
            f"{one.name}{'@' + one.version if one.version else ''}={one.weight:g}" for one in self.model
        )
        values["api_key"] = "***" if self.api_key else None
        return values


def shown_command(words: Sequence[str]) -> str:
    """A command line for a report: without the key in it."""
    shown: list[str] = []
    for word in words:
        if shown and shown[-1] == _SECRET:
            shown.append("***")
        else:
            shown.append(f"{_SECRET}=***" if word.startswith(f"{_SECRET}=") else word)
    return shlex.join(shown)


def without_key(words: Sequence[str]) -> tuple[list[str], str | None]:
    """A command line without the key, and the key: it goes to another process in the environment."""
    others: list[str] = []
    key: str | None = None
    rest = iter(words)
    for word in rest:
        if word == _SECRET:
            key = next(rest, None)
            if key is None:
                raise WrongUse(f"{_SECRET} wants a value", f"set {API_KEY} instead")
        elif word.startswith(f"{_SECRET}="):
            key = word.removeprefix(f"{_SECRET}=")
        else:
            others.append(word)
    return others, key


def seconds(text: str) -> float:
    """Reads 60, 90s, 500ms, 5m, 1h.

    Raises:
        WrongUse: it is no such time, or longer than a day.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None or (value := float(found[1]) * _SECONDS_OF[found[2]]) > LONGEST_S:
        raise WrongUse(f"{text!r} is no time of at most 24 hours", "write it like 60, 90s, 500ms, 5m or 1h")
    return value


def checked(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Settings:
    """The settings of a run.

    Args:
        given: option name -> value as text or already as number; None where it was not given.
        defaults: the scenario's.

    Raises:
        WrongUse: a value is missing or makes no sense; the message names its option.
    """
    values = {option.name: _value(option, given.get(option.name), defaults.get(option.name)) for option in OPTIONS}
    values["model"] = _models(values["model"])
    if values["arrivals"] not in KINDS:
        raise WrongUse(f"--arrivals is {values['arrivals']!r}", f"choose one of {', '.join(KINDS)}")
    if values["agreement"] not in ("required", "shown"):
        raise WrongUse(f"--agreement is {values['agreement']!r}", "choose required or shown")
    if values["slo"]:
        parse_service_level(values["slo"])
    for name in ("rate", "duration", "callers", "in_flight", "batch_size", "timeout", "steps", "speed", "burstiness"):
        if values[name] <= 0:
            raise WrongUse(f"--{name.replace('_', '-')} is {values[name]:g}", "give a number above 0")
    return Settings(**values)


_GENERAL = {"rate": 100.0, "duration": 60.0, "callers": 1, "batch_size": 1, "arrivals": "poisson"}


def _value(option: Option, given: Any, default: Any) -> Any:
    chosen: Any = next((one for one in (given, default, option.default) if one is not None), _GENERAL.get(option.name))
    if chosen is None or option.kind == "text":
        return chosen
    try:
        if option.kind == "seconds":
            return seconds(str(chosen))
        number = int(chosen) if option.kind == "count" else float(chosen)
    except ValueError as error:
        kind = "a whole number" if option.kind == "count" else "a number"
        raise WrongUse(f"{option.flag} wants {kind}, got {chosen!r}") from error
    if not 0 <= number <= 1e12 or (option.kind == "share" and number > 1):
        raise WrongUse(f"{option.flag} is {chosen}", "a share lies between 0 and 1, and no number is negative")
    return number


def _models(text: str | None) -> tuple[ModelChoice, ...]:
    if not text:
        return ()
    return tuple(_model(part.strip()) for part in text.split(","))


def _model(text: str) -> ModelChoice:
    found = _MODEL.fullmatch(text)
    weight = float((found and found["weight"]) or 1)
    if found is None or not is_model_name(found["name"]) or not weight:
        raise WrongUse(f"--model {text!r} is none", "write MODEL, MODEL@VERSION, or several with weights: a=3,b=1")
    return ModelChoice(found["name"], found["version"] or "", weight)
