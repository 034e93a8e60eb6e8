"""All that is decided before a run: what is asked of whom, when, with which bytes, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from maas_client import Client, ModelSpec
from maas_client._cli.exit_codes import errors_as_exit_codes
from maas_client._options import Options
from maas_client._spec import steps_of
from maas_client._url import Endpoint
from maas_core.errors import NotReachable, WrongUse
from maas_core.golden import Array
from maas_core.manifest import Manifest
from maas_core.service_level import ServiceLevel, parse_service_level
from maas_loadtest.arrivals import KINDS, Kind, Stage, arrivals
from maas_loadtest.encoding import Encoder, Headers
from maas_loadtest.generator import make_sender
from maas_loadtest.prepared import Prepared, sha256_of
from maas_loadtest.replay import replayed
from maas_loadtest.report_model import InputEntry, TargetEntry
from maas_loadtest.scenario import Scenario
from maas_loadtest.schedule import Schedule, choose, mark
from maas_loadtest.sending import Reply, Sender, SendFailed
from maas_loadtest.settings import ModelChoice, Settings
from maas_loadtest.values import Values, values_for

_REFUSED = ("400:", "INVALID_ARGUMENT:")
_DEFAULT_TOLERANCE = {"FP16": (1e-2, 1e-2), "BF16": (1e-2, 1e-2), "FP32": (1e-4, 1e-3), "FP64": (1e-6, 1e-6)}
"""For answers that are compared with the server's own first one, where no manifest says better."""


@dataclass(frozen=True)
class Job:
    """See the module.

    Attributes:
        prepared: the requests that take turns.
        weights: how often each is drawn.
        schedule: None in a closed loop.
        stages: of the schedule.
        steps: the models that an ensemble of the mix consists of, by its name: the server counts them, too.
        inner: models that a model of the mix calls as often as it likes.
        level: what must hold; None where nobody said it.
        level_source: ``--slo`` or the manifest.
    """

    endpoint: Endpoint
    headers: Headers
    target: TargetEntry
    prepared: tuple[Prepared, ...]
    inputs: tuple[InputEntry, ...]
    weights: Array
    schedule: Schedule | None
    stages: tuple[Stage, ...]
    steps: Mapping[str, Sequence[str]]
    inner: frozenset[str]
    level: ServiceLevel | None
    level_source: str

    @property
    def models(self) -> list[str]:
        """The names, each once."""
        return list(dict.fromkeys(one.model for one in self.prepared))

    @property
    def duration_s(self) -> float:
        """Of all stages."""
        return sum(stage.duration_s for stage in self.stages)

    @property
    def mean_gap_us(self) -> float:
        """The mean distance between two scheduled moments; 0 where there are no two."""
        if self.schedule is None or len(self.schedule) < 2:
            return 0.0
        return float(np.diff(self.schedule.at_ns).mean()) / 1000


def make_job(scenario: Scenario, settings: Settings) -> Job:
    """Asks the server what it serves, and decides everything else.

    Raises:
        WrongUse, NotReachable: with what to do.
        click.ClickException: the client library's, of the same kinds.
    """
    endpoint, headers = _endpoint(settings)
    trace = replayed(settings) if scenario.replays else None
    choices = trace.choices if trace else settings.model
    if not choices:
        raise WrongUse("no model is named", "say what to call, e.g. --model digits_cnn")
    parts: list[_Part] = []
    with (
        errors_as_exit_codes(),
        Client(settings.url, api_key=settings.api_key, timeout_s=settings.timeout, retry=None) as client,
    ):
        target = _target(client, endpoint)
        for choice in choices:
            own = replace(
                settings, batch_size=choice.batch_size or settings.batch_size, steps=choice.steps or settings.steps
            )
            parts.append(_part(scenario, own, choice, client, endpoint, headers))
    prepared = tuple(one for part in parts for one in part.prepared)
    weights = np.concatenate([np.full(len(part.prepared), part.entry.weight / len(part.prepared)) for part in parts])
    stages = tuple(trace.stages if trace else scenario.stages(settings))
    rng = np.random.default_rng(settings.seed)
    if trace:
        schedule: Schedule | None = trace.schedule([len(part.prepared) for part in parts], rng, settings.check_share)
    else:
        schedule = _schedule(scenario, settings, stages, weights, rng)
    level, source = _level(settings, [part.manifest for part in parts])
    if scenario.finds_knee and (level is None or not level.limits_ms):
        raise WrongUse("there is no knee without a limit", "say what must hold, e.g. --slo p99=20ms")
    entries = tuple(part.entry for part in parts)
    return Job(
        endpoint=endpoint,
        headers=headers,
        target=target,
        prepared=prepared,
        inputs=entries,
        weights=weights,
        schedule=schedule,
        stages=stages,
        steps={part.entry.model: part.steps for part in parts},
        inner=frozenset(name for part in parts for name in part.inner),
        level=level,
        level_source=source,
    )


@dataclass(frozen=True)
class _Part:
    """One model of the mix."""

    prepared: Sequence[Prepared]
    entry: InputEntry
    manifest: Manifest | None
    steps: Sequence[str]
    inner: Sequence[str]


def _part(
    scenario: Scenario, settings: Settings, choice: ModelChoice, client: Client, endpoint: Endpoint, headers: Headers
) -> _Part:
    spec = client.describe(choice.name, model_version=choice.version or None)
    _check_kind(scenario, spec)
    values = values_for(spec, choice.version, settings)
    encoder = Encoder(spec, choice.version, endpoint, headers)
    tolerances = _tolerances(values.manifest)
    made = [encoder.prepare(sample, tolerances, values.version) for sample in values.samples]
    some = _tried(made, values, endpoint, headers, settings)
    config = client.config(choice.name, model_version=choice.version or None)
    entry = InputEntry(
        model=choice.name,
        source=values.source,
        distinct=len(some),
        items_per_request=sum(one.items for one in some) / len(some),
        weight=choice.weight,
        sha256=sha256_of(some),
    )
    calls = str(config.get("parameters", {}).get("calls", {}).get("string_value", ""))
    steps = [name for name, _ in steps_of(config)]
    return _Part(some, entry, values.manifest, steps, [name.strip() for name in calls.split(",") if name.strip()])


def _endpoint(settings: Settings) -> tuple[Endpoint, Headers]:
    with errors_as_exit_codes():
        return Endpoint.parse(settings.url), Options.make(None, None, settings.api_key, None, None).headers


def _target(client: Client, endpoint: Endpoint) -> TargetEntry:
    metadata = client.metadata()
    return TargetEntry(
        url=str(endpoint),
        protocol="grpc" if endpoint.is_grpc else "http",
        server=str(metadata.get("name", "")),
        server_version=str(metadata.get("version", "")),
    )


def _check_kind(scenario: Scenario, spec: ModelSpec) -> None:
    if scenario.which == "sequence" and not spec.sequence:
        raise WrongUse(f"{spec.name} keeps no state", f"{scenario.name} asks models with sequence_batching")
    if scenario.which == "stream" and not spec.decoupled:
        raise WrongUse(f"{spec.name} gives one answer to a request", f"{scenario.name} asks decoupled models")


def _tolerances(manifest: Manifest | None) -> Mapping[str, tuple[float, float]]:
    if manifest is None:
        return _DEFAULT_TOLERANCE
    return {name: (entry.absolute, entry.relative) for name, entry in manifest.tolerances.items()}


def _tried(
    prepared: Sequence[Prepared], values: Values, endpoint: Endpoint, headers: Headers, settings: Settings
) -> list[Prepared]:
    """What can not work is told at once, before a thousand errors of one kind.

    Where no right answer is known, the server's answer to this call is what later ones are held against.
    """
    sender = make_sender({"url": str(endpoint), "headers": headers, "timeout_s": settings.timeout})
    try:
        if values.source != "golden":
            return [_learned(sender, one, endpoint, values.source) for one in prepared]
        whole = [one for number, one in enumerate(prepared) if number not in values.regrouped]
        rest = [one for number, one in enumerate(prepared) if number in values.regrouped]
        for one in whole[:1]:
            _replies(sender, one, endpoint, values.source)
        return whole + [one for one in rest if not _is_refused(sender, one)]
    finally:
        sender.close()


def _is_refused(sender: Sender, prepared: Prepared) -> bool:
    """Whether the server takes rows of a golden sample only in company, as a picture that can not be read."""
    try:
        for wire in prepared.wires:
            sender.send(prepared, wire)
    except SendFailed as error:
        return error.message.startswith(_REFUSED)
    return False


def _learned(sender: Sender, prepared: Prepared, endpoint: Endpoint, source: str) -> Prepared:
    """With the server's own answers as the right ones; of a stream without, which need not say the same twice."""
    replies = _replies(sender, prepared, endpoint, source)
    if prepared.kind == "stream":
        return prepared
    answers = tuple(sender.outputs(prepared, reply) for reply in replies)
    return replace(prepared, expected=answers, expected_version=replies[0].version)


def _replies(sender: Sender, prepared: Prepared, endpoint: Endpoint, source: str) -> list[Reply]:
    """The answers to each step."""
    one = prepared.with_new_id(is_grpc=endpoint.is_grpc) if prepared.kind == "sequence" else prepared
    try:
        return [sender.send(one, wire) for wire in one.wires]
    except SendFailed as error:
        message = f"{one.model} at {endpoint} failed the first request: {error.message}"
        if error.kind == "timeout":
            raise NotReachable(message, "the server is too slow or too busy: look at it, or raise --timeout") from error
        if error.kind != "status":
            raise NotReachable(message, "is it the right address?") from error
        mend = "its inputs are made up: pass real ones with --inputs FILE,FILE" if source == "generated" else ""
        raise WrongUse(message, mend or "look at the server's log") from error


def _schedule(
    scenario: Scenario, settings: Settings, stages: Sequence[Stage], weights: Array, rng: np.random.Generator
) -> Schedule | None:
    if scenario.loop == "closed":
        return None
    kind: Kind = next(one for one in KINDS if one == settings.arrivals)
    at_ns = arrivals(kind, stages, rng, burstiness=settings.burstiness)
    duration_s = sum(stage.duration_s for stage in stages)
    return Schedule(at_ns, choose(rng, len(at_ns), weights), mark(rng, len(at_ns), settings.check_share), duration_s)


def _level(settings: Settings, manifests: Sequence[Manifest | None]) -> tuple[ServiceLevel | None, str]:
    """What the user says, or else the widest objective of the models that have one."""
    if settings.slo:
        return parse_service_level(settings.slo), "--slo"
    known = [manifest.objective for manifest in manifests if manifest is not None]
    if not known:
        return None, ""
    level = ServiceLevel({"p99": max(one.p99_ms for one in known)}, max(one.error_rate for one in known))
    return level, "manifest"
