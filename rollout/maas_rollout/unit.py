"""What is released together: a model alone, or an ensemble with the very steps that it was verified with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from maas_core.errors import NotHeld, WrongUse
from maas_core.manifest import MANIFEST_FILE, Manifest, read_manifest
from maas_core.releases import NOT_SERVED, released_versions
from maas_core.repository import models_in, versions_of
from maas_rollout.publish import in_order, proven
from maas_rollout.state import Member
from maas_rollout.steps.prepare import version_with


def served_version(repository: Path, model: str, released: Mapping[str, int]) -> int:
    """The version of ``model`` that serves: the released one, or the newest; :data:`NOT_SERVED` where there is none."""
    if model in released:
        return released[model]
    versions = versions_of(repository / model)
    return versions[-1].version if versions else NOT_SERVED


def members_of(model: str, bundles: Sequence[Path], repository: Path) -> dict[str, Member]:
    """The models that go together when ``model`` is released from ``bundles``, steps before their ensembles.

    A step whose bundle is not given is the published version that the ensemble was verified with.

    Raises:
        NotHeld: where a bundle is not verified, a step is missing, or a served ensemble would be left with another
            step than it was verified with.
        WrongUse: where no bundle is of that model, or one does not belong to it.
    """
    given = {manifest.model: (bundle, manifest) for bundle in in_order(bundles) for manifest in [proven(bundle)]}
    if model not in given:
        raise WrongUse(f"no bundle of {model} was given", f"the bundles are of {', '.join(given) or 'nothing'}")
    released = released_versions(repository)
    members: dict[str, Member] = {}
    for name, (bundle, manifest) in given.items():
        for step, digest in _steps_of(manifest).items():
            if step not in given:
                _require_published(name, step, digest, repository)
                members.setdefault(step, Member(digest, served_version(repository, step, released)))
        members[name] = Member(manifest.digest, served_version(repository, name, released), str(bundle.absolute()))
    manifests = [manifest for _, manifest in given.values()]
    _require_verified_together(manifests, members)
    _require_belonging(model, manifests, set(given))
    _require_whole_ensembles(members, repository, released)
    return members


def members_at(versions: Mapping[str, int], repository: Path) -> dict[str, Member]:
    """The models that go together when they return to ``versions``, in the order given.

    Raises:
        NotHeld: where a version is not there any more.
    """
    released = released_versions(repository)
    members: dict[str, Member] = {}
    for model, version in versions.items():
        found = next((entry for entry in versions_of(repository / model) if entry.version == version), None)
        if found is None or found.digest is None:
            there = ", ".join(str(entry.version) for entry in versions_of(repository / model)) or "none"
            raise NotHeld(f"{model} has no version {version} that this tool published", f"there is {there}")
        members[model] = Member(found.digest, served_version(repository, model, released))
    _require_whole_ensembles(members, repository, released)
    return members


def _steps_of(manifest: Manifest) -> dict[str, str]:
    """The digests of the steps that an ensemble was verified with."""
    return dict(manifest.verification.requires) if manifest.verification is not None else {}


def _require_published(ensemble: str, step: str, digest: str, repository: Path) -> None:
    if version_with(repository, step, digest) is None:
        raise NotHeld(
            f"{ensemble} was verified with a {step} (digest {digest[:12]}) that is not published",
            f"give its bundle, too: --bundle build/bundles/{step}/FORMAT",
        )


def _require_verified_together(manifests: Sequence[Manifest], members: Mapping[str, Member]) -> None:
    for manifest in manifests:
        for step, digest in _steps_of(manifest).items():
            if members[step].digest != digest:
                raise NotHeld(
                    f"{manifest.model} was verified with another {step} (digest {digest[:12]}) than the bundle given",
                    f"run `maas export {manifest.model}` again",
                )


def _require_belonging(model: str, manifests: Sequence[Manifest], given: set[str]) -> None:
    """Each bundle is the model's, a step of it, or shares a step with it."""
    linked = {model}
    while True:
        more = {
            name
            for manifest in manifests
            for names in [{manifest.model, *manifest.requires}]
            if names & linked
            for name in names
        }
        if more <= linked:
            break
        linked |= more
    strangers = sorted(given - linked)
    if strangers:
        raise WrongUse(f"{', '.join(strangers)} does not belong to {model}", "release it by itself")


def _require_whole_ensembles(members: Mapping[str, Member], repository: Path, released: Mapping[str, int]) -> None:
    """No served ensemble outside may be left with another step than it was verified with."""
    for ensemble in models_in(repository):
        version = served_version(repository, ensemble, released)
        if ensemble in members or version == NOT_SERVED:
            continue
        folder = repository / ensemble / str(version)
        if not (folder / MANIFEST_FILE).is_file():
            continue
        for step, digest in _steps_of(read_manifest(folder)).items():
            if step in members and members[step].digest != digest:
                raise NotHeld(
                    f"{ensemble} {version}, which serves, was verified with another {step} (digest {digest[:12]})",
                    f"export {ensemble} with the new {step} and release them together: give both with --bundle",
                )
