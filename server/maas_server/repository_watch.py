"""Noticing that a model repository has changed, once the change is complete."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

Signature = frozenset[tuple[str, int, int]]


class RepositoryWatch:
    """Compares names, sizes and times of the files in a repository.

    Args:
        repository: the model repository; hidden folders (staging) are not looked at.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._accepted = self._look()
        self._last = self._accepted

    def has_settled_change(self) -> bool:
        """Whether something differs from the last time this said so, and two looks in a row saw the same.

        ``maas publish`` moves a version into place in one step; whoever copies files by hand takes longer.
        """
        now = self._look()
        settled = now == self._last
        self._last = now
        if not settled or now == self._accepted:
            return False
        self._accepted = now
        return True

    def _look(self) -> Signature:
        # os.walk passes over a folder that is removed while it looks; Path.glob raises FileNotFoundError there.
        _, models, _ = next(os.walk(self._repository), ("", [], []))
        found = set()
        for model in models:
            if model.startswith("."):
                continue
            for folder, _, names in os.walk(self._repository / model):
                for path in (Path(folder, name) for name in names):
                    with contextlib.suppress(OSError):
                        status = path.stat()
                        found.add((str(path), status.st_size, status.st_mtime_ns))
        return frozenset(found)
