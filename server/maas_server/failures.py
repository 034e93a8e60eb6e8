"""The true reason, in one line, why a model does not load: from the load call, the index and the log."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from maas_server.server_log import one_line, poll_failure
from maas_server.triton_http import TritonHttp, TritonRefused, TritonUnreachable

_NOT_POLLED = "failed to poll from model repository"
_FRAME = re.compile(r"^ {2}(?P<file>\S.*)\((?P<line>\d+)\): ", re.MULTILINE)
_NOISE = (
    re.compile(r"^load failed for model '[^']*': "),
    re.compile(r"\bversion \d+ is at UNAVAILABLE state: "),
    re.compile(r"(?:^|(?<=: ))(?:Internal|Invalid argument|Not found|Unavailable): "),
    re.compile(r"\bTritonModelException: "),
)
"""What Triton puts before the reason, in this order."""
_CPP_PLACE = re.compile(r"/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])")
"""ONNX Runtime's source file and the full signature of a C++ function."""


class FailureReader:
    """Finds the reasons of one run of a server.

    Args:
        read_log: gives this run's log.
        runtime_repository: the repository's path as the server knows it.
        repository: its real path, which a person knows.
    """

    def __init__(self, read_log: Callable[[], str], runtime_repository: Path, repository: Path) -> None:
        self._read_log = read_log
        self._runtime_repository = str(runtime_repository)
        self._repository = str(repository)

    def reason(self, api: TritonHttp, model: str, load_error: str) -> str:
        """Why ``model`` did not load.

        Args:
            api: the server.
            model: its name.
            load_error: what the load call said.
        """
        if _NOT_POLLED in load_error:
            return self.clean(poll_failure(self._read_log(), model) or load_error)
        return self.clean(self._from_index(api, model) or load_error)

    def clean(self, text: str) -> str:
        """``text`` on one line, with real paths, without what says nothing, and with the place in a Python model."""
        place = self._place(text)
        reason = one_line(text)
        for noise in _NOISE:
            reason = noise.sub("", reason)
        reason = _CPP_PLACE.sub("", reason) + place
        return reason.replace(self._runtime_repository, self._repository)

    def _from_index(self, api: TritonHttp, model: str) -> str:
        """The index has the whole text of a failed version; the load call may have another model's."""
        try:
            entries = api.index()
        except (TritonRefused, TritonUnreachable):
            return ""
        reasons = [entry.reason for entry in entries if entry.model == model and entry.state == "UNAVAILABLE"]
        return next((reason for reason in reasons if reason not in ("", "unloaded")), "")

    def _place(self, text: str) -> str:
        """Where in the model's own files a Python exception arose; Triton lists the innermost frame first."""
        for frame in _FRAME.finditer(text.replace("\\n", "\n")):
            if frame["file"].startswith(self._runtime_repository):
                return f" ({frame['file']}, line {frame['line']})"
        return ""
