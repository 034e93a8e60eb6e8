"""Names, folders and files of a model."""

from __future__ import annotations

import ast
import json
import os
import warnings
from pathlib import Path

from maas_core.config import CONFIG_FILE, LABELS_FILE
from maas_core.manifest import MANIFEST_FILE
from maas_core.names import is_model_name
from maas_export.lint.finding import Severity
from maas_export.lint.inspection import Inspection
from maas_export.lint.scan import NOT_VERSIONS, PLATFORM_OF_BACKEND, Folder
from maas_export.lint.targets import CONTAINER_BACKENDS, FIELDS_SINCE, uses_field

_LARGEST_ONNX_BYTES = 2**31 - 1


def check_folders(inspection: Inspection) -> None:
    """What holds without a configuration that can be used."""
    model = inspection.model
    if not is_model_name(model.name):
        inspection.report("model-name", f"{model.name!r} cannot be a model's name", path=model.folder)
    if model.unreadable is not None:
        _report_unreadable(inspection)
    elif model.config is None:
        inspection.report("config-missing", f"{CONFIG_FILE} is missing", path=model.folder)
    if not model.is_bundle:
        for folder in model.folders:
            _check_folder(inspection, folder)
        _check_strays(inspection)


def _report_unreadable(inspection: Inspection) -> None:
    model, reason = inspection.model, inspection.model.unreadable
    if reason is None:
        return
    rule = "config-syntax" if reason.is_syntax else "config-unreadable"
    inspection.report(rule, reason.reason, path=model.config_path, line=reason.line)


def _check_folder(inspection: Inspection, folder: Folder) -> None:
    name = folder.path.name
    if folder.overflows:
        inspection.report("version-overflow", f"version {name} does not fit 64 bits", path=folder.path)
    elif folder.number is None:
        if _is_number(name):
            inspection.report(
                "version-ignored", f"ignore version directory '{name}' which contains leading zeros", path=folder.path
            )
    elif not folder.is_plain and name == str(folder.number) and folder.number >= 0:
        inspection.report("version-ignored", f"version {name} is not in 1 to 2147483647", path=folder.path)
    elif not folder.is_plain:
        inspection.report("version-name", f"Triton takes {name!r} for version {folder.number}", path=folder.path)


def _check_strays(inspection: Inspection) -> None:
    model = inspection.model
    known = {CONFIG_FILE, LABELS_FILE}
    if model.config is not None:
        known |= {output.label_filename.partition("/")[0] for output in model.config.output}
        known |= {
            parameter.string_value.removeprefix("$$TRITON_MODEL_DIRECTORY/").partition("/")[0]
            for parameter in model.config.parameters.values()
        }
    names = [entry.path.name for entry in model.folders if entry.number is None and not _is_number(entry.path.name)]
    for name in [*model.files, *names]:
        if name not in known | NOT_VERSIONS:
            inspection.report("stray-entry", f"{name} does not belong into a model's root", path=model.folder / name)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def check_identity(inspection: Inspection) -> None:
    """Name, backend, platform, and fields that the target does not know."""
    model, config = inspection.model, inspection.config
    if config.name and config.name != model.name:
        what = f"unexpected directory name '{model.name}' for model '{config.name}'"
        inspection.report("name-differs", f"{what}, directory name must equal model name", ("name",))
    _check_backend(inspection)
    for path, since in FIELDS_SINCE:
        if inspection.options.target.is_older_than(since) and uses_field(config, path):
            what = f"{'.'.join(path)} came with Triton {since}, the target is {inspection.options.target.name}"
            inspection.report("field-newer", what, path)


def _check_backend(inspection: Inspection) -> None:
    model, config = inspection.model, inspection.config
    if config.platform == "ensemble":
        if config.backend:
            what = f"Ensemble model '{model.name}' must have platform type 'ensemble' and empty backend type"
            inspection.report("platform-differs", what, ("backend",))
        return
    if model.is_ensemble:
        return
    backend = model.backend
    if not backend:
        if not config.platform:
            where = f"and no model file in {model.folder} tells it" if model.versions else "and it has no version yet"
            inspection.report("backend-missing", f"neither backend nor platform is named, {where}", ("name",))
        else:
            what = f"unexpected platform type '{config.platform}' for {model.name}"
            inspection.report("platform-differs", what, ("platform",))
        return
    if backend not in CONTAINER_BACKENDS | inspection.options.backends:
        what = f"unable to find backend library for backend '{backend}'"
        inspection.report("backend-unknown", what, ("backend",))
    _check_platform(inspection, backend)


def _check_platform(inspection: Inspection, backend: str) -> None:
    platform = inspection.config.platform
    fitting = PLATFORM_OF_BACKEND.get(backend)
    if platform and fitting is not None and platform not in fitting:
        what = f"unexpected 'platform' and 'backend' pair, got:{platform}, {backend}"
        inspection.report("platform-differs", what, ("platform",))


def check_versions(inspection: Inspection) -> None:
    """Which versions the policy chooses, and what lies in them."""
    model, config = inspection.model, inspection.config
    if not model.versions:
        severity = Severity.ERROR if inspection.options.needs_versions else None
        inspection.report("unpublished", f"{model.name} has no version", path=model.folder, severity=severity)
        return
    served = model.served
    if not served:
        there = ", ".join(map(str, model.versions))
        what = f"at least one version must be available under the version policy of '{model.name}'; it has {there}"
        inspection.report("no-version", what, ("version_policy",))
    elif not model.is_bundle:
        for index, number in enumerate(config.version_policy.specific.versions):
            if number not in served:
                what = f"version {number} is specified, but the version directory is not present"
                inspection.report("pinned-version-missing", what, ("version_policy", "specific", "versions", index))
    for folder in served.values():
        _check_model_file(inspection, folder)
        _check_manifest(inspection, folder)


def _check_model_file(inspection: Inspection, folder: Path) -> None:
    model = inspection.model
    name = model.model_file
    if not name or model.is_ensemble:
        return
    path = folder / name
    if path.is_dir():
        path = path / name
    if not path.is_file():
        empty = "is an empty folder" if folder.is_dir() and not model.contents(folder) else f"holds no {name}"
        inspection.report("model-file-missing", f"unable to find '{path}': the version {empty}", path=folder)
    elif not os.access(path, os.R_OK):
        inspection.report("model-file-unreadable", f"{path}: Permission denied", path=path)
    elif model.backend == "onnxruntime" and path.stat().st_size > _LARGEST_ONNX_BYTES:
        inspection.report("onnx-too-large", f"the file has {path.stat().st_size / 2**30:.1f} GiB", path=path)
    elif model.backend == "python":
        _check_python_model(inspection, path)


def _check_python_model(inspection: Inspection, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            # What Python would warn of in a stranger's source is not the linter's affair.
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        inspection.report("python-model", f"{type(error).__name__}: {error}", path=path, line=line)
        return
    if not _names_in(tree) & {"TritonPythonModel", "*"}:
        inspection.report("python-model", "module has no attribute 'TritonPythonModel'", path=path)


def _names_in(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def _check_manifest(inspection: Inspection, folder: Path) -> None:
    """Sizes only: reading every byte is verification's work."""
    path = folder / MANIFEST_FILE
    try:
        listed = json.loads(path.read_bytes())["files"]
        sizes = {str(name): int(entry["size_bytes"]) for name, entry in listed.items()}
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        inspection.report("manifest-differs", f"it is no manifest ({type(error).__name__}: {error})", path=path)
        return
    wrong = [name for name, size in sizes.items() if not _has_size(folder / name, size)]
    if wrong:
        what = f"{', '.join(wrong[:3])}{' and more' if len(wrong) > 3 else ''}: missing, or of another size"
        inspection.report("manifest-differs", what, path=path)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
