"""The view of a running server while its repository changes: what cannot replace what is served leaves it served."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from maas_core.config import CONFIG_FILE
from maas_core.errors import MaasError
from maas_core.events import EventLog
from maas_core.files import write_atomic
from maas_core.releases import released_versions
from maas_core.view import build_view
from maas_server.shown_view import show


@dataclass(frozen=True)
class Changes:
    """What became different in a view.

    Attributes:
        removed: models that are gone from the repository.
        changed: models with another version or configuration, and new ones.
    """

    removed: list[str]
    changed: list[str]


@dataclass(frozen=True)
class _Served:
    version: int
    config: bytes


class ServedView:
    """One supervisor's view.

    Args:
        repository: the model repository.
        path: the folder of the view.
        models: the models to show; all by default.
        left_out: why a model is not loaded, by model; those that cannot be read and never were are added.
        events: where to tell what happens.
        pinned: versions that are shown whatever the release journals say.

    Attributes:
        versions: the version shown of each model.
        refused: why what the repository has of a model is not what is served of it, by model. It stands until the
            repository changes, when it is tried again.
    """

    def __init__(
        self,
        repository: Path,
        path: Path,
        models: Sequence[str] | None,
        left_out: dict[str, str],
        events: EventLog,
        pinned: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.versions: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self._repository = repository
        self._models = models
        self._left_out = left_out
        self._events = events
        self._pinned = pinned
        self._unreadable: set[str] = set()
        self._before: dict[str, _Served] = {}
        self._unfinished: dict[str, _Served] = {}

    def build(self, *, only_releases: bool = False) -> None:
        """Shows what the release journals name, and of other models the newest that can be read.

        Args:
            only_releases: what the journals do not name stays at the version that is shown.

        Raises:
            MaasError: where the repository cannot be served, or a journal is damaged.
        """
        stays = self.versions if only_releases else {}
        versions = {**stays, **released_versions(self._repository), **self._pinned}
        shown = show(self._repository, self.path, self._models, self.versions, versions)
        self.versions = shown.versions
        self.refused.clear()
        for model in self._unreadable - shown.unreadable.keys():
            self._left_out.pop(model, None)
        for model, problem in shown.unreadable.items():
            kept = shown.versions.get(model)
            reason = problem if kept is None else f"{problem}; version {kept} serves on as it was"
            (self._left_out if kept is None else self.refused)[model] = reason
            if model not in self._unreadable:
                words = f"{model} is not {'loaded' if kept is None else 'taken over'}: {reason}"
                self._events.tell("load_failed", words, model=model, reason=reason)
        self._unreadable = set(shown.unreadable)

    def take_over(self, serving: Collection[str], *, only_releases: bool = False) -> Changes:
        """Builds it anew, and remembers what was shown of each model until :meth:`loaded` or :meth:`refuse`.

        Args:
            serving: the models that are ready.
            only_releases: as for :meth:`build`.

        Raises:
            MaasError: where the repository cannot be served.
        """
        before = self._unfinished or self._shown()
        # A build that fails halfway, as on a full disk, has changed some models already: the next one must tell them.
        self._unfinished = before
        self.build(only_releases=only_releases)
        self._unfinished = {}
        now = self._shown()
        changed = [model for model in now if before.get(model) != now[model]]
        for model in changed:
            if model in before and model in serving:
                self._before.setdefault(model, before[model])
        removed = sorted(before.keys() - now.keys())
        for model in removed:
            self._before.pop(model, None)
        return Changes(removed, changed)

    def loaded(self, model: str) -> None:
        """What is shown of ``model`` is what is served."""
        self._before.pop(model, None)

    def refuse(self, model: str, reason: str) -> None:
        """What is shown of ``model`` does not load: shows again what is served, for every later load and start."""
        before = self._before.pop(model, None)
        if before is None:
            return
        refused = self.versions[model]
        try:
            others = self.versions.keys() - {model}
            build_view(self._repository, self.path, [model], {model: before.version}, keep=others)
            write_atomic(self.path / model / CONFIG_FILE, before.config)
        except (MaasError, OSError) as error:
            self.refused[model] = f"{reason} (version {before.version}, which serves, cannot be shown again: {error})"
            return
        self.versions[model] = before.version
        what = f"version {refused}" if refused != before.version else "the new configuration"
        self.refused[model] = f"{what} is not taken over, version {before.version} serves on: {reason}"
        self._events.tell("not_taken_over", f"{model}: {self.refused[model]}", model=model, version=before.version)

    def refuse_all(self, reason: str) -> None:
        """As :meth:`refuse`, for whatever is not yet known to load."""
        for model in list(self._before):
            self.refuse(model, reason)

    def _shown(self) -> dict[str, _Served]:
        return {
            model: _Served(version, (self.path / model / CONFIG_FILE).read_bytes())
            for model, version in self.versions.items()
        }
