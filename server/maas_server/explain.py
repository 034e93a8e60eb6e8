"""Finding out why a model does not load, by loading it alone into a server of its own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from maas_core.errors import WrongUse
from maas_core.repository import versions_of
from maas_server.embedded import embedded_triton, new_log_path
from maas_server.ensembles import steps_by_ensemble
from maas_server.errors import NothingToServe, StartFailed
from maas_server.reasons import mend_for
from maas_server.shown_view import show
from maas_server.state_file import read_states


@dataclass(frozen=True)
class Explanation:
    """What trying to load a model showed.

    Attributes:
        model: its name.
        version: the one that was tried; ``None`` where there is none.
        loads: whether it loads.
        cause: the model whose fault it is: the model itself, or a step of the ensemble.
        reason: why it does not load, one line.
        mend: what to do about it.
        startup_s: how long it took to load.
        log: the whole log of the attempt.
    """

    model: str
    version: int | None
    loads: bool
    cause: str = ""
    reason: str = ""
    mend: str = ""
    startup_s: float = 0.0
    log: str = ""


def explain(
    repository: Path, model: str, tritonserver: Path | None = None, load_timeout_s: float = 60.0
) -> Explanation:
    """Loads ``model``, and what it is made of, into a server of its own, and tells what happened.

    Raises:
        NothingToServe: where the repository or the model does not exist.
        TritonNotFound: where there is no server to try it with; and the other errors of a start.
    """
    if not (repository / model).is_dir():
        raise NothingToServe(f"there is no model {model} in {repository}", "see `maas status` and the repository")
    published = versions_of(repository / model)
    version = published[-1].version if published else None
    if version is None:
        return Explanation(
            model, None, loads=False, cause=model, reason="no version is published", mend="run `maas publish`"
        )
    with tempfile.TemporaryDirectory(prefix="maas-explain-") as folder:
        view = Path(folder) / "view"
        try:
            shown = show(repository, view, [model])
        except WrongUse as error:
            return Explanation(model, version, loads=False, cause=model, reason=error.message, mend=error.mend)
        failed = dict(shown.unreadable)
        log = new_log_path(f"explain-{model}")
        startup_s = 0.0
        if shown.versions:
            try:
                with embedded_triton(
                    view,
                    models=list(shown.versions),
                    tritonserver=tritonserver,
                    log_path=log,
                    load_timeout_s=load_timeout_s,
                    stop_timeout_s=0.0,
                ) as server:
                    failed |= {
                        name: reason.replace(str(view), str(repository)) for name, reason in server.failed.items()
                    }
                    startup_s = server.startup_s
            except StartFailed as error:
                failed[model] = error.message
        if not failed:
            return Explanation(model, version, loads=True, startup_s=startup_s, log=str(log))
        cause = _cause(view, model, failed)
        return Explanation(
            model,
            version,
            loads=False,
            cause=cause,
            reason=failed[cause],
            mend=mend_for(failed[cause]),
            log=str(log) if log.exists() else "",
        )


def left_out_by_servers(repository: Path, model: str) -> dict[str, str]:
    """Why the running servers of this repository do not serve ``model``, by view: it may load and still not live."""
    return {
        state.view: state.failed[model]
        for state in read_states()
        if not state.is_stale and Path(state.repository) == repository.absolute() and model in state.failed
    }


def _cause(view: Path, model: str, failed: dict[str, str]) -> str:
    """Of an ensemble, the first step that fails: the ensemble's own failure follows from it."""
    steps = steps_by_ensemble(view).get(model, [])
    return next((step for step in [*steps, model] if step in failed), next(iter(failed)))
