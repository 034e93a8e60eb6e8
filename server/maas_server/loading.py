"""Loading models into a running server, through its repository API."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from maas_server.ensembles import steps_by_ensemble
from maas_server.failures import FailureReader
from maas_server.triton_http import TritonHttp, TritonRefused, TritonUnreachable

_PARALLEL_LOADS = 4
"""As many as Triton's own default for loads at start."""


class Loader:
    """Loads models, several at once, and knows at any time which are being loaded.

    Loading again one that did not load at start is how its reason becomes known: only the load call tells them all.

    Args:
        api: the server.
        repository: what it serves.
        failures: finds out why a model did not load.
        timeout_s: how long one model may take.
    """

    def __init__(self, api: TritonHttp, repository: Path, failures: FailureReader, timeout_s: float) -> None:
        self._api = api
        self._failures = failures
        self._repository = repository
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._loading: set[str] = set()

    @property
    def loading(self) -> frozenset[str]:
        """The models whose load has begun and not ended."""
        with self._lock:
            return frozenset(self._loading)

    def load_all(self, models: Collection[str]) -> dict[str, str]:
        """Loads ``models``, ensembles after the models that they are made of.

        Returns:
            The reason, one line, for each that did not load.
        """
        ensembles = sorted(set(models) & steps_by_ensemble(self._repository).keys())
        failed: dict[str, str] = {}
        for group in (sorted(set(models) - set(ensembles)), ensembles):
            with ThreadPoolExecutor(_PARALLEL_LOADS, thread_name_prefix="load") as pool:
                failed |= {m: reason for m, reason in zip(group, pool.map(self.load, group), strict=True) if reason}
        return failed

    def load_one_by_one(self, models: Collection[str], settle_s: float) -> dict[str, str]:
        """Like :meth:`load_all`, but never two at once, so that it can be told which one ends the server.

        Args:
            models: what to load.
            settle_s: how long a model counts as being loaded after its load.
        """
        ensembles = steps_by_ensemble(self._repository)
        failed: dict[str, str] = {}
        for model in sorted(models, key=lambda name: (name in ensembles, name)):
            reason = self.load(model, settle_s)
            if reason:
                failed[model] = reason
            if not self._api.is_ready():
                break
        return failed

    def load(self, model: str, settle_s: float = 0.0) -> str:
        """Loads one model; returns why it did not load, or nothing."""
        with self._lock:
            self._loading.add(model)
        try:
            self._api.load(model, self._timeout_s)
            if settle_s:
                time.sleep(settle_s)
                self._api.index()
        except TritonRefused as error:
            self._done(model)
            return self._failures.reason(self._api, model, str(error))
        except TritonUnreachable as error:
            if self._api.is_ready():
                return f"it was still loading after {self._timeout_s:g} s"
            # What ended the server may be this very model: it keeps counting as being loaded.
            return str(error)
        self._done(model)
        return ""

    def _done(self, model: str) -> None:
        with self._lock:
            self._loading.discard(model)


def ready_models(api: TritonHttp) -> dict[str, list[int]]:
    """The versions that are ready, by model."""
    ready: dict[str, list[int]] = {}
    for entry in api.index():
        if entry.state == "READY" and entry.version is not None:
            ready.setdefault(entry.model, []).append(entry.version)
    return {model: sorted(versions) for model, versions in sorted(ready.items())}


def touch_versions(repository: Path, versions: Mapping[str, Collection[int]]) -> None:
    """Makes version folders strictly newer, which alone makes Triton load an unchanged version anew.

    The files stay as they are: in a view they are hard links into the model repository.
    """
    for model, numbers in versions.items():
        for number in numbers:
            folder = repository / model / str(number)
            # A version may be gone from the view since it was loaded: then the one that is there is new anyway.
            with contextlib.suppress(FileNotFoundError):
                newer = max(time.time_ns(), folder.stat().st_mtime_ns + 1)
                os.utime(folder, ns=(newer, newer))
