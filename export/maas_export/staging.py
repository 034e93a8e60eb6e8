"""A bundle appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maas_core.errors import MaasError


@contextmanager
def staged(target: Path, model: str) -> Iterator[Path]:
    """A folder to write the bundle of ``model`` into, beside ``target``; it takes its place when the block ends well.

    Raises:
        MaasError: where it cannot be written; what was there before stays.
    """
    staging = target.parent / f".{target.name}.part"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        yield staging
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    except OSError as error:
        raise MaasError(
            f"the bundle of {model} could not be written: {error}", "make room or give rights there"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
