"""Steps that bring the new versions into the repository, where nobody is served by them yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maas_core.errors import NotHeld
from maas_core.manifest import changed_files, read_manifest
from maas_core.releases import released_versions
from maas_core.repository import Published, versions_of
from maas_rollout.publish import proven, publish
from maas_rollout.state import Member, RolloutState
from maas_rollout.world import World


class Verify:
    """The bundles are what verification stamped, and what this rollout was started with."""

    name = "verify"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"check stamp and every byte of {_bundles(state)}"

    def requires(self, world: World) -> None:
        """Nothing."""

    def apply(self, world: World) -> bool:
        """Looks only."""
        return False

    def ensures(self, world: World) -> dict[str, Any]:
        """Each bundle, or the published version that takes its place."""
        for model, member in world.state.members.items():
            if version_with(world.state.repository, model, member.digest) is None:
                _bundle_of(model, member)
        return {"digests": {model: member.digest for model, member in world.state.members.items()}}


class Hold:
    """What serves now is written down: publishing alone must not change it."""

    name = "hold"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"write down that {named(state.before)} go on serving"

    def requires(self, world: World) -> None:
        """Nothing."""

    def apply(self, world: World) -> bool:
        """Pins the versions that serve."""
        return world.journal.pin(world.state.id, world.state.repository, world.state.before)

    def ensures(self, world: World) -> dict[str, Any]:
        """The journals name them."""
        require_pinned(world, world.state.before)
        return {"versions": world.state.before}


class Publish:
    """Each bundle becomes a version; the same bytes become none."""

    name = "publish"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"publish {_bundles(state)} into {state.repository}"

    def requires(self, world: World) -> None:
        """What serves must be pinned, or a watching server would take the new version over at once."""
        require_pinned(world, world.state.before)

    def apply(self, world: World) -> bool:
        """Steps first, then the ensembles that are made of them."""
        repository = world.state.repository
        versions: dict[str, int] = {}
        changed = False
        for model, member in world.state.members.items():
            found = version_with(repository, model, member.digest)
            if found is None:
                outcome = publish(_bundle_of(model, member), repository, steps=versions)
                found, changed = outcome.published, changed or outcome.is_new
            versions[model] = found.version
        return changed

    def ensures(self, world: World) -> dict[str, Any]:
        """Every version lies there whole."""
        versions: dict[str, int] = {}
        for model, member in world.state.members.items():
            found = version_with(world.state.repository, model, member.digest)
            if found is None:
                raise NotHeld(f"{model} has no version with digest {member.digest[:12]} after it was published")
            require_whole(found)
            versions[model] = found.version
        return {"versions": versions}


class Present:
    """The version to return to lies in the repository, whole."""

    name = "present"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"check every byte of {named(state.to)}"

    def requires(self, world: World) -> None:
        """Nothing."""

    def apply(self, world: World) -> bool:
        """Looks only."""
        return False

    def ensures(self, world: World) -> dict[str, Any]:
        """Every version lies there whole."""
        for model, version in world.state.to.items():
            require_whole(Published(model, version, world.state.repository / model / str(version)))
        return {"versions": world.state.to}


def version_with(repository: Path, model: str, digest: str) -> Published | None:
    """The published version of ``model`` that has this digest."""
    return next((entry for entry in versions_of(repository / model) if entry.digest == digest), None)


def require_whole(version: Published) -> None:
    """Refuses a version folder that is not exactly what its manifest lists."""
    problems = changed_files(version.path, read_manifest(version.path))
    if problems:
        raise NotHeld(f"{version.path} is damaged: {'; '.join(problems)}", "put the version's files back")


def require_pinned(world: World, versions: dict[str, int]) -> None:
    """Refuses where the journals name other versions."""
    released = released_versions(world.state.repository)
    others = {model: released.get(model) for model, version in versions.items() if released.get(model) != version}
    if others:
        raise NotHeld(f"the journals name {named(others)}, wanted {named(versions)}", "see `maas rollout history`")


def named(versions: dict[str, int] | dict[str, int | None]) -> str:
    """``digits 3, digits_cnn 4``."""
    shown = (f"{model} {version}" if version else f"no version of {model}" for model, version in versions.items())
    return ", ".join(shown)


def _bundle_of(model: str, member: Member) -> Path:
    if not member.bundle:
        raise NotHeld(f"{model} has no version with digest {member.digest[:12]} any more", "publish it again")
    bundle = Path(member.bundle)
    manifest = proven(bundle)
    if manifest.digest != member.digest:
        raise NotHeld(f"{bundle} is another bundle than this rollout was started with", "start another rollout for it")
    return bundle


def _bundles(state: RolloutState) -> str:
    return ", ".join(member.bundle or f"{model} (published)" for model, member in state.members.items())
