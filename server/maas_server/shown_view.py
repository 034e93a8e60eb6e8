"""The view that a server serves; a model whose configuration cannot be read does not keep the others from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from maas_core.config import CONFIG_FILE, read_config
from maas_core.engines import version_problem
from maas_core.errors import WrongUse
from maas_core.releases import NOT_SERVED
from maas_core.repository import models_in, versions_of
from maas_core.view import build_view
from maas_server.ensembles import with_steps
from maas_server.errors import NothingToServe


@dataclass(frozen=True)
class Shown:
    """What a view shows.

    Attributes:
        versions: the version of each model.
        unreadable: the models whose configuration cannot be read, or whose engine is of another machine, and why. Those
            among ``versions`` are shown as they were before.
    """

    versions: dict[str, int]
    unreadable: dict[str, str]


def show(
    repository: Path,
    view: Path,
    models: Sequence[str] | None,
    shown_before: Mapping[str, int] = MappingProxyType({}),
    versions: Mapping[str, int] = MappingProxyType({}),
) -> Shown:
    """Builds the view of ``models`` (all by default) and of the steps of ensembles among them.

    Args:
        repository: the model repository.
        view: the folder of the view.
        models: the models to show.
        shown_before: the version of each model that the view shows and a server serves: what cannot be read stays.
        versions: the version of each model that is not to be shown at its newest;
            :data:`maas_core.releases.NOT_SERVED` leaves it out.

    Raises:
        WrongUse: where the repository or a named model does not exist or has no version.
        NothingToServe: where no model has a published version.
    """
    wanted = with_steps(repository, models) if models is not None else models_in(repository)
    waiting = {model for model, version in versions.items() if version == NOT_SERVED}
    wanted = [model for model in wanted if model not in waiting]
    unreadable = {}
    # A name that is not there at all is wrong use, which building the view tells.
    for model in set(wanted).intersection(models_in(repository)):
        problem = _problem(repository / model, versions.get(model))
        if problem is not None:
            unreadable[model] = problem
    kept = {model: version for model, version in shown_before.items() if model in unreadable}
    # Of an ensemble that cannot be read it is not known what it is made of: what it was made of stays, too.
    wanted = list(dict.fromkeys([*wanted, *_present(repository, with_steps(view, list(kept)))]))
    readable = [model for model in wanted if model not in unreadable]
    if models is None:
        readable = [model for model in readable if versions_of(repository / model)]
    chosen = {model: versions[model] for model in readable if model in versions}
    shown = build_view(repository, view, readable, chosen, keep=kept) | kept
    if not shown and not unreadable:
        raise NothingToServe(f"no model in {repository} has a published version", "publish one with `maas publish`")
    return Shown(shown, unreadable)


def _present(repository: Path, models: Iterable[str]) -> list[str]:
    present = models_in(repository)
    return [model for model in models if model in present]


def _problem(model_dir: Path, version: int | None) -> str | None:
    """Why a model cannot be served at a version (its newest by default).

    The version is gone, or its configuration cannot be read, or its engine is of another machine.
    """
    versions = versions_of(model_dir)
    if version is not None and version not in (entry.version for entry in versions):
        return f"version {version}, which is to be served, is not in {model_dir}"
    newest = versions[-1].path if versions else model_dir
    folder = newest if version is None else model_dir / str(version)
    try:
        read_config(folder if (folder / CONFIG_FILE).is_file() else model_dir)
    except (WrongUse, UnicodeDecodeError) as error:
        if isinstance(error, WrongUse):
            return error.message.removesuffix(f"; {error.mend}")
        return f"{model_dir / CONFIG_FILE}: {error}"
    return version_problem(folder)
