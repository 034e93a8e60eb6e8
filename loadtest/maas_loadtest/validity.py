"""The error of a measurement that says nothing."""

from __future__ import annotations

from maas_core.errors import ExitCode, MaasError


class NotValid(MaasError):
    """A measurement, or a comparison of two, from which nothing can be concluded."""

    exit_code = ExitCode.NOT_VALID
