"""The linter itself: every model of a repository before every check."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from maas_export.lint.check_ensembles import check_ensemble
from maas_export.lint.check_folders import check_folders, check_identity, check_versions
from maas_export.lint.check_graph import check_graph
from maas_export.lint.check_instances import check_instances
from maas_export.lint.check_scheduling import check_scheduling
from maas_export.lint.check_tensors import check_tensors
from maas_export.lint.finding import Finding
from maas_export.lint.inspection import Inspection, Options
from maas_export.lint.onnx_header import OnnxHeader
from maas_export.lint.scan import Model, neighbours, scan

_CONFIG_CHECKS = (
    check_identity,
    check_versions,
    check_tensors,
    check_scheduling,
    check_instances,
    check_graph,
    check_ensemble,
)


def lint(root: Path, options: Options, ignored: Collection[str] = ()) -> tuple[int, list[Finding]]:
    """Holds every model against every rule.

    Args:
        root: a model repository, one model's folder in it, or a bundle.
        options: what is known of the server to be.
        ignored: the ids of rules whose findings are not wanted.

    Returns:
        How many models were looked at, and the findings by file and line.

    Raises:
        WrongUse: where ``root`` is no folder that can be read.
    """
    models = scan(root)
    findings = [found for found in inspect(models, options) if found.rule.id not in ignored]
    return len(models), sorted(
        findings, key=lambda found: (str(found.path), found.line or 0, found.rule.id, found.what)
    )


def inspect(models: Sequence[Model], options: Options) -> list[Finding]:
    """The findings of ``models``, in no order."""
    others = {model.name: model for model in models}
    if len(models) == 1 and models[0].is_ensemble:
        others = {model.name: model for model in neighbours(models[0])} | others
    headers: dict[Path, OnnxHeader | str] = {}
    findings: list[Finding] = []
    for model in models:
        inspection = Inspection(model, others, options, headers)
        check_folders(inspection)
        if model.config is not None:
            for check in _CONFIG_CHECKS:
                check(inspection)
        findings += inspection.findings
    return findings
