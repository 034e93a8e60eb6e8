"""What can go wrong around the embedded server, each with its mend.

``MaasError`` (:mod:`maas_core.errors`)
 ├── ``UnusableEnvironment``  this machine or this Python cannot run the server
 ├── ``TritonNotFound``       there is no ``tritonserver`` to run
 ├── ``AlreadyServed``        another supervisor serves the same view
 ├── ``NothingToServe``       the repository does not exist or holds no such model
 └── ``StartFailed``          the server ended, or never became ready
"""

from __future__ import annotations

from maas_core.errors import ExitCode, MaasError


class UnusableEnvironment(MaasError):
    """This machine or this Python cannot run the server."""

    exit_code = ExitCode.NOT_HELD


class TritonNotFound(MaasError):
    """There is no ``tritonserver`` to run."""

    exit_code = ExitCode.NOT_HELD


class AlreadyServed(MaasError):
    """Another supervisor serves the same view."""

    exit_code = ExitCode.WRONG_USE


class NothingToServe(MaasError):
    """The repository does not exist, holds no model, or not the one that was asked for."""

    exit_code = ExitCode.WRONG_USE


class StartFailed(MaasError):
    """The server ended, or did not become ready in time.

    Attributes:
        loading: the models whose loading had begun and not ended.
        timed_out: whether it was still running.
    """

    exit_code = ExitCode.NOT_REACHABLE

    def __init__(
        self, message: str, mend: str, *, loading: frozenset[str] = frozenset(), timed_out: bool = False
    ) -> None:
        super().__init__(message, mend)
        self.loading = loading
        self.timed_out = timed_out


class StartCancelled(Exception):
    """The start was given up on request; nobody has to be told."""
