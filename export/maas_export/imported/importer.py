"""An ONNX file becomes a bundle: read, tried, guessed at, written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from maas_core.config import CONFIG_FILE, LABELS_FILE, config_of, dump_config, labels_text
from maas_core.errors import WrongUse
from maas_core.golden import GOLDEN_FILE, Sample, Tensors, save_golden
from maas_core.layout import bundle_dir
from maas_core.manifest import (
    Manifest,
    ObjectiveEntry,
    ToleranceEntry,
    WeightsEntry,
    file_entries,
    payload_digest,
    write_manifest,
)
from maas_core.names import check_model_name
from maas_core.spec import ModelSpec, Objective, Serving, TensorSpec, Tolerance
from maas_export.bundle import ONNX_FILE, TOOL_VERSION, is_current
from maas_export.bundle_model import (
    USUAL_TOLERANCES,
    BundleModel,
    BundleRecord,
    Guess,
    InputRange,
    write_record,
)
from maas_export.catalogue import all_models
from maas_export.imported.plan import Wishes
from maas_export.imported.ranges import ranges_of
from maas_export.imported.runs import PlainSession
from maas_export.imported.shapes import with_seen_outputs, write_shapes
from maas_export.imported.signature import GraphTensor, Signature, signature_of
from maas_export.imported.source import Source, read_source
from maas_export.imported.trial import (
    Trial,
    answered,
    check_steady,
    depends_on_its_batch,
    find_sizes,
    given_samples,
    settle_values,
)
from maas_export.independent import obstacle_to_independence
from maas_export.staging import staged

_P99_MS = 100.0
_RECORDED = ("onnx", "onnxruntime", "numpy", "triton-maas")


@dataclass(frozen=True)
class _Decided:
    """What trying the graph out has settled."""

    signature: Signature
    ranges: dict[str, InputRange]
    sizes: dict[str, tuple[int, ...]]
    given: Tensors | None
    guesses: tuple[Guess, ...]


def import_onnx(path: Path, name: str, wishes: Wishes, *, seed: int) -> tuple[Path, bool, tuple[Guess, ...]]:
    """Writes the bundle of an ONNX file, not yet verified.

    Args:
        path: the file.
        name: what the model shall be called.
        wishes: what is not left to be guessed.
        seed: of the golden samples.

    Returns:
        The bundle's folder, whether it is new, and what was guessed.

    Raises:
        WrongUse: where name, file or a wish cannot be used; nothing is written.
        MaasError: where the bundle cannot be written; what was there before stays.
    """
    if check_model_name(name) in all_models():
        raise WrongUse(f"{name!r} is a model of the catalogue", "choose another --name")
    source = read_source(path, wishes)
    session = PlainSession(source.model)
    decided = _decide(source, session, wishes)
    # What was converted is held against what it was converted from.
    truth = PlainSession(source.original) if source.was_converted else session
    spec = _spec(name, path, decided, wishes)
    record = _record(spec, decided, source)
    samples = _samples(record, decided, Trial(truth, decided.signature, decided.ranges), seed)
    signature, guesses = with_seen_outputs(decided.signature, samples)
    decided = replace(decided, signature=signature, guesses=(*decided.guesses, *guesses, *_source_guesses(source)))
    spec = _spec(name, path, decided, wishes)
    content = _content(source, signature)
    obstacle: str | None = "you said so"
    if wishes.has_independent_rung:
        obstacle = obstacle_to_independence(content, samples[0].inputs)
    record = replace(
        _record(spec, decided, source),
        has_independent_rung=obstacle is None,
        guesses=(*decided.guesses, *_spec_guesses(spec, wishes), _rung_guess(obstacle)),
    )
    target = bundle_dir(name, BundleModel.bundle_format)
    key = _key(source, record, seed, wishes)
    if is_current(target, key):
        return target, False, record.guesses
    with staged(target, name) as folder:
        _write(folder, record, content, samples)
        write_manifest(folder, _manifest(folder, record, source, key, seed))
    return target, True, record.guesses


def _decide(source: Source, session: PlainSession, wishes: Wishes) -> _Decided:
    signature, guesses = signature_of(source, session, wishes)
    ranges, range_guesses = ranges_of(source.model, [_tensor_spec(tensor, lead=0) for tensor in signature.inputs])
    if wishes.sample_inputs is not None:
        return _decide_by_samples(wishes.sample_inputs, Trial(session, signature, ranges), guesses)
    trial = Trial(session, signature, ranges)
    sizes, size_guesses = find_sizes(trial, wishes)
    value_guesses = settle_values(trial, sizes)
    smallest = {axis: min(among) for axis, among in sizes.items()}
    check_steady(trial, trial.inputs(1, smallest))
    reason = depends_on_its_batch(trial, trial.inputs(3, smallest)) if signature.is_batched else ""
    if reason:
        return _decide_without_batch(source, session, wishes, reason)
    overtaken = {f"values of {name}" for name, among in ranges.items() if trial.ranges[name] != among}
    range_guesses = [guess for guess in range_guesses if guess.subject not in overtaken]
    fixed = {axis: among[0] for axis, among in sizes.items() if len(set(among)) == 1}
    return _Decided(
        signature.with_sizes(fixed),
        trial.ranges,
        {axis: among for axis, among in sizes.items() if axis not in fixed},
        None,
        (*guesses, *size_guesses, *range_guesses, *value_guesses),
    )


def _decide_without_batch(source: Source, session: PlainSession, wishes: Wishes, reason: str) -> _Decided:
    if wishes.is_batched:
        raise WrongUse(f"the model cannot be batched: {reason}", "give --no-batch")
    decided = _decide(source, session, replace(wishes, is_batched=False))
    guesses = [replace(guess, reason=reason) if guess.subject == "batch axis" else guess for guess in decided.guesses]
    return replace(decided, guesses=tuple(guesses))


def _decide_by_samples(path: Path, trial: Trial, guesses: Sequence[Guess]) -> _Decided:
    """With real inputs nothing is made up: sizes and values are theirs."""
    given = given_samples(path, trial.signature)
    check_steady(trial, given)
    if trial.signature.is_batched:
        reason = depends_on_its_batch(trial, {name: value[np.arange(3) % len(value)] for name, value in given.items()})
        if reason:
            raise WrongUse(f"the model cannot be batched: {reason}", "give --no-batch")
    return _Decided(trial.signature, trial.ranges, {}, given, (*guesses, _given_guess(path)))


def _samples(record: BundleRecord, decided: _Decided, trial: Trial, seed: int) -> list[Sample]:
    """Golden requests with the answers of the graph as it was given."""
    given = [Sample("given", decided.given, {})] if decided.given is not None else []
    model = BundleModel(record, given)
    rng = np.random.default_rng(seed)
    return [answered(trial, f"golden-batch{size}", model.sample_inputs(rng, size)) for size in model.batch_sizes]


def _tensor_spec(tensor: GraphTensor, *, lead: int, labels: tuple[str, ...] = ()) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.datatype, tensor.dims[lead:], "as in the imported file", labels=labels)


def _spec(name: str, path: Path, decided: _Decided, wishes: Wishes) -> ModelSpec:
    signature = decided.signature
    lead = int(signature.is_batched)
    labels = _labels(wishes.labels) if wishes.labels is not None else ()
    labelled = next((tensor.name for tensor in signature.outputs if labels and tensor.dims[-1] == len(labels)), None)
    if labels and labelled is None:
        ends = ", ".join(f"{tensor.name} has {tensor.dims[-1]}" for tensor in signature.outputs)
        raise WrongUse(f"{wishes.labels} has {len(labels)} labels", f"an output's last axis must be as long: {ends}")
    tolerances = {
        datatype: wishes.tolerance if wishes.tolerance is not None and datatype == "FP32" else value
        for datatype, value in USUAL_TOLERANCES.items()
    }
    return ModelSpec(
        name=name,
        task="imported",
        summary=f"imported from {path.name}",
        backend="onnxruntime",
        inputs=tuple(_tensor_spec(tensor, lead=lead) for tensor in signature.inputs),
        outputs=tuple(
            _tensor_spec(tensor, lead=lead, labels=labels if tensor.name == labelled else ())
            for tensor in signature.outputs
        ),
        serving=Serving(signature.max_batch_size, instances=wishes.instances, intra_op_threads=wishes.threads),
        tolerances={datatype: Tolerance(value, value) for datatype, value in tolerances.items()},
        objective=Objective(p99_ms=_P99_MS),
    )


def _labels(path: Path) -> tuple[str, ...]:
    try:
        labels = tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path} cannot be read: {error}", "name a text file with one label a line") from error
    if not labels or not all(label.strip() for label in labels):
        raise WrongUse(f"{path} has no label in some line", "write one class name a line")
    return labels


def _record(spec: ModelSpec, decided: _Decided, source: Source) -> BundleRecord:
    return BundleRecord(
        spec=spec,
        opset=source.opset,
        ranges=decided.ranges,
        axis_sizes=decided.sizes,
        from_samples=decided.given is not None,
        has_independent_rung=False,
        guesses=decided.guesses,
    )


def _given_guess(path: Path) -> Guess:
    return Guess("requests of verification", "the given samples", f"{path.name} holds them", "--sample-inputs FILE.npz")


def _source_guesses(source: Source) -> list[Guess]:
    if not source.was_converted:
        return []
    reason = "the target reads no newer one; the golden answers are those of the file as it was given"
    return [Guess("opset", f"converted to {source.opset}, IR {source.model.ir_version}", reason, "--target RELEASE")]


def _spec_guesses(spec: ModelSpec, wishes: Wishes) -> list[Guess]:
    labelled = next((output.name for output in spec.outputs if output.labels), "")
    labels = (
        (f"of {labelled}", "its last axis is as long as the file") if labelled else ("none", "an ONNX file has none")
    )
    said = wishes.tolerance is not None
    tolerance = f"{spec.tolerances['FP32'].absolute:g} absolute and relative (FP32)"
    serving = f"{spec.serving.instances} × {spec.serving.intra_op_threads}"
    return [
        Guess("labels", *labels, "--labels FILE"),
        Guess(
            "tolerance",
            tolerance,
            "you said so" if said else "so far do two libraries differ that add in another order",
            "--tolerance X",
        ),
        Guess(
            "instances × threads",
            serving,
            "it is a start; `maas tune` measures what is best",
            "--instances N --threads N",
        ),
    ]


def _rung_guess(obstacle: str | None) -> Guess:
    if obstacle is None:
        value = "ONNX Runtime without optimizations, and onnx.reference"
        return Guess("reference", value, "there is no torch module", "--no-reference")
    reason = f"there is no torch module, and no onnx.reference: {obstacle}"
    return Guess("reference", "ONNX Runtime without optimizations", reason)


def _content(source: Source, signature: Signature) -> bytes:
    """The very bytes that were given, unless something had to be changed."""
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    is_changed = write_shapes(model, signature) or source.was_converted
    given = source.path.read_bytes()
    if not is_changed and onnx.load_model_from_string(given) == model:
        return given
    return bytes(model.SerializeToString(deterministic=True))


def _write(folder: Path, record: BundleRecord, content: bytes, samples: Sequence[Sample]) -> None:
    (folder / CONFIG_FILE).write_text(dump_config(config_of(record.spec)), encoding="utf-8")
    if record.spec.labels:
        (folder / LABELS_FILE).write_text(labels_text(record.spec.labels), encoding="utf-8")
    (folder / ONNX_FILE).write_bytes(content)
    write_record(folder, record)
    save_golden(folder / GOLDEN_FILE, samples)


def _key(source: Source, record: BundleRecord, seed: int, wishes: Wishes) -> str:
    parts = {
        "file": source.sha256,
        "record": hashlib.sha256(repr(record).encode()).hexdigest(),
        "samples": hashlib.sha256(wishes.sample_inputs.read_bytes()).hexdigest() if wishes.sample_inputs else None,
        "versions": _versions(),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _manifest(folder: Path, record: BundleRecord, source: Source, key: str, seed: int) -> Manifest:
    files = file_entries(folder)
    told = f"{source.path.name}, imported; golden answers by onnxruntime {version('onnxruntime')}, no torch reference"
    return Manifest(
        model=record.spec.name,
        format=BundleModel.bundle_format,
        digest=payload_digest(files),
        files=files,
        key=key,
        weights=WeightsEntry(source=told, sha256=source.sha256),
        seed=seed,
        versions=_versions(),
        opset=record.opset,
        tolerances={name: ToleranceEntry(**asdict(value)) for name, value in record.spec.tolerances.items()},
        objective=ObjectiveEntry(**asdict(record.spec.objective)),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=TOOL_VERSION,
    )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _RECORDED}
