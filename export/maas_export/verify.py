"""Verifying a bundle: every rung of the ladder, then the stamp."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from maas_core.config import CONFIG_FILE, LABELS_FILE, dump_config, pin_version, read_config
from maas_core.errors import MaasError, NotHeld
from maas_core.files import link_tree
from maas_core.golden import GOLDEN_FILE, load_golden
from maas_core.layout import build_dir, view_dir
from maas_core.manifest import (
    Manifest,
    RungResult,
    Verification,
    changed_files,
    file_entries,
    payload_digest,
    read_manifest,
    write_manifest,
)
from maas_core.serving import Served, serve
from maas_export.bundle import ONNX_FILE, TOOL_VERSION, required_digests, required_weights, samples_of
from maas_export.bundle_model import BundleModel, model_of
from maas_export.catalogue import CatalogueModel, EnsembleModel, TorchModel, requirements
from maas_export.formats.kinds import INT8, TENSORRT
from maas_export.imported.rungs import imported_rungs
from maas_export.ladder import Task, climb, failed, onnx_rung, served_rung
from maas_export.own.rungs import own_rungs
from maas_export.references import reference_of

_SCRATCH_VERSION = 1


def verify_bundle(
    bundle: Path,
    *,
    seed: int,
    url: str | None = None,
    api_key: str | None = None,
    numbers_only: bool = False,
    offline: bool = False,
    data: Path | None = None,
    starting: Future[Served] | None = None,
) -> Verification:
    """Climbs the ladder on a finished bundle and stamps its manifest with the outcome.

    Args:
        bundle: the bundle's folder.
        seed: of the fresh requests that are asked beside the golden ones.
        url: hold this running server against the bundle instead of a scratch one; nothing is stamped.
        api_key: what a gateway before that server asks for.
        numbers_only: do not mind files that were changed after export; nothing is stamped.
        offline: start no server; nothing is stamped.
        data: what the weights were trained on, where that is not the built-in data; a quantized graph is judged on it.
        starting: ask this scratch server (see :func:`scratch_server`) instead of one that holds this bundle alone.

    Raises:
        NotHeld: where the folder is no bundle, or a step of an ensemble is missing or not verified.
    """
    manifest = read_manifest(bundle)
    model = model_of(bundle, manifest)
    bundles = bundle.absolute().parent.parent
    requires = required_digests(model, bundles)
    rungs = [] if numbers_only else [_files_rung(bundle, manifest)]
    is_served = not (url or offline or manifest.format == TENSORRT)
    with ExitStack() as own_server:
        if is_served and starting is None:
            starting = own_server.enter_context(scratch_server([bundle]))
        if manifest.format == INT8 and isinstance(model, TorchModel):
            from maas_export.formats.rungs import int8_rungs  # torch: two seconds

            task, own_rungs = int8_rungs(model, manifest, bundle, seed, data)
        else:
            task, own_rungs = _own_rungs(model, manifest, bundle, bundles, seed)
        rungs += own_rungs
        if is_served and starting is not None:
            rungs += _served_rungs(starting.result(), model, task)
    if url:
        rungs.append(served_rung(url.partition(":")[0], url, model, task, api_key))
    verification = Verification(
        passed=all(rung.passed for rung in rungs),
        digest=payload_digest(file_entries(bundle)),
        requires=requires,
        rungs=tuple(rungs),
        verified_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=TOOL_VERSION,
    )
    if not (url or numbers_only or offline):
        write_manifest(bundle, manifest.model_copy(update={"verification": verification}))
    return verification


def _files_rung(bundle: Path, manifest: Manifest) -> RungResult:
    problems = changed_files(bundle, manifest)
    return RungResult(
        rung="files", passed=not problems, samples=len(manifest.files), outputs=(), detail="; ".join(problems)
    )


def _own_rungs(
    model: CatalogueModel, manifest: Manifest, bundle: Path, bundles: Path, seed: int
) -> tuple[Task, list[RungResult]]:
    """The rungs before a server is asked, and what all later ones are held to."""
    if isinstance(model, BundleModel):
        if model.record.origin is not None:
            return own_rungs(model, manifest, bundle, seed)
        return imported_rungs(model, bundle, seed)
    task, reference_rung = _task(model, manifest, bundle, bundles, seed)
    rungs = [reference_rung] if reference_rung else []
    if manifest.format == TENSORRT:
        from maas_export.formats.rungs import engine_rung  # torch: two seconds

        rungs.append(engine_rung(manifest, bundle, task))
    elif isinstance(model, TorchModel):
        rungs.append(onnx_rung(bundle / ONNX_FILE, task))
    return task, rungs


def _task(
    model: CatalogueModel, manifest: Manifest, bundle: Path, bundles: Path, seed: int
) -> tuple[Task, RungResult | None]:
    """What the rungs are held to, and the first rung: whether the reference still answers as the golden samples say.

    Where the torch weights are not on this machine, the golden samples alone speak for them.
    """
    tolerances = model.spec.tolerances
    golden = load_golden(bundle / GOLDEN_FILE)
    if not golden:
        raise NotHeld(f"{bundle / GOLDEN_FILE} holds no sample", f"run `maas export {model.name}` again")
    reference = reference_of(model, _weights_of(model, manifest, bundles))
    if reference is None:
        return Task(model.spec, tolerances, golden), None
    name = "torch" if isinstance(model, TorchModel) else "steps" if isinstance(model, EnsembleModel) else "python"
    rung = climb(name, Task(model.spec, tolerances, golden), reference)
    return Task(model.spec, tolerances, [*golden, *samples_of(model, reference, seed, "fresh")]), rung


def _weights_of(model: CatalogueModel, manifest: Manifest, bundles: Path) -> dict[str, str | None]:
    own = {model.name: manifest.weights.sha256} if manifest.weights is not None else {}
    return {**required_weights(model, bundles), **own}


@contextmanager
def scratch_server(bundles: Sequence[Path]) -> Iterator[Future[Served]]:
    """A server of its own over a repository that holds nothing but these bundles and their steps.

    It starts while the caller goes on. No two of the bundles may be of the same model.
    """
    name = f"verify-{os.getpid()}-{bundles[0].absolute().parent.name}"
    repository = build_dir() / "scratch" / name
    try:
        repository.mkdir(parents=True)
        for model, folder in _with_steps(bundles).items():
            _place(folder, repository / model)
        with ThreadPoolExecutor(1) as pool, ExitStack() as running:
            starting = pool.submit(running.enter_context, serve(repository, view=name))
            try:
                yield starting
            finally:
                wait([starting])
    finally:
        shutil.rmtree(repository, ignore_errors=True)
        shutil.rmtree(view_dir(name), ignore_errors=True)


def _with_steps(bundles: Sequence[Path]) -> dict[str, Path]:
    """The bundles by model, and those beside them that they require."""
    found: dict[str, Path] = {}
    for bundle in bundles:
        model = model_of(bundle, read_manifest(bundle))
        found[model.name] = bundle
        for required in requirements(model):
            beside = bundle.absolute().parent.parent / required / model.part(required).bundle_format
            found.setdefault(required, beside)
    return found


def _place(bundle: Path, model_dir: Path) -> None:
    model_dir.mkdir()
    link_tree(bundle, model_dir / str(_SCRATCH_VERSION))
    config = pin_version(read_config(bundle), _SCRATCH_VERSION)
    (model_dir / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
    labels = bundle / LABELS_FILE
    if labels.is_file():
        shutil.copyfile(labels, model_dir / LABELS_FILE)


def _served_rungs(served: Served, model: CatalogueModel, task: Task) -> Sequence[RungResult]:
    reason = served.failed.get(model.name)
    if reason or model.name not in served.models:
        return [failed(name, f"did not load: {reason or 'the server does not say why'}") for name in ("http", "grpc")]
    return [
        served_rung("http", served.http, model, task),
        served_rung("grpc", served.grpc, model, task),
    ]


def first_divergence(verification: Verification) -> str:
    """The first rung and output that diverge, in one sentence.

    Raises:
        MaasError: where all rungs passed.
    """
    for rung in verification.rungs:
        if rung.passed:
            continue
        bad = next((output for output in rung.outputs if not output.passed), None)
        if bad is not None:
            return f"rung {rung.rung!r}, output {bad.output!r}: {bad.detail}"
        if rung.detail:
            return f"rung {rung.rung!r}: {rung.detail}"
        return f"rung {rung.rung!r}: the top-1 answer differs in {1 - (rung.agreement or 0):.2%} of samples"
    raise MaasError("no rung diverged")
