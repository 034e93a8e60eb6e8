"""Where things lie: the folders that several stages must agree on."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from maas_core.errors import MaasError

DEFAULT_REPOSITORY = Path("model_repository")


def build_dir() -> Path:
    """The folder for all that is built and not in git: ``$MAAS_BUILD``, or ``build`` in the working directory."""
    return Path(os.environ.get("MAAS_BUILD") or "build")


def weights_dir() -> Path:
    """Torch weights by digest."""
    return build_dir() / "weights"


def bundles_dir() -> Path:
    """All bundles that export writes, ``MODEL/FORMAT/`` each."""
    return build_dir() / "bundles"


def bundle_dir(model: str, bundle_format: str) -> Path:
    """The bundle that export writes and publish takes."""
    return bundles_dir() / model / bundle_format


def view_dir(view: str) -> Path:
    """A view: what one server serves of the model repository."""
    return build_dir() / "repositories" / view


def python_models_dir() -> Path:
    """The sources of the pre- and postprocessing models, in a source checkout or in an installed wheel.

    The server package is located, not imported: what builds a bundle needs the sources, not the server.

    Raises:
        MaasError: where the server package is not installed.
    """
    spec = importlib.util.find_spec("maas_server")
    if spec is None or spec.origin is None:
        raise MaasError("the sources of the Python models are missing", "pip install 'triton-maas[server]'")
    package = Path(spec.origin).parent
    installed = package / "python_models"
    return installed if installed.is_dir() else package.parent / "python_models"
