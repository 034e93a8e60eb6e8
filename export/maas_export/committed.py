"""The part of a model that is in git: its configuration and its labels, derived from the spec."""

from __future__ import annotations

from maas_core.config import CONFIG_FILE, LABELS_FILE, config_of, dump_config, labels_text, pin_version
from maas_core.spec import ModelSpec

_COMMITTED_VERSION = 1


def committed_files(spec: ModelSpec) -> dict[str, str]:
    """File name -> text, as ``model_repository/NAME/`` holds them, pinned to version 1."""
    files = {CONFIG_FILE: dump_config(pin_version(config_of(spec), _COMMITTED_VERSION))}
    if spec.labels:
        files[LABELS_FILE] = labels_text(spec.labels)
    return files
