"""Files that several Python models need lie in one place, and a model's folder is whole all the same."""

from __future__ import annotations

from pathlib import Path

from maas_export.python_models import load_module, source_files

SOURCES = Path(__file__).resolve().parents[2] / "server" / "python_models"


def test_no_file_is_there_twice() -> None:
    texts: dict[str, Path] = {}
    for path in sorted(SOURCES.glob("*/*.py")):
        if not path.is_symlink():
            other = texts.setdefault(path.read_text(encoding="utf-8"), path)
            assert other == path, f"link {path} to {other}, or put both into _shared"


def test_links_lead_to_the_shared_folder_wherever_the_checkout_lies() -> None:
    links = [path for path in SOURCES.glob("*/*") if path.is_symlink()]
    assert links
    assert {path.readlink().parts[:2] for path in links} == {("..", "_shared")}
    assert all(path.is_file() for path in links)


def test_a_model_is_made_of_its_own_and_of_linked_files() -> None:
    names = [path.name for path in source_files("digits_preprocess")]
    assert names == sorted(names)
    assert {"model.py", "picture.py", "decoding.py"} <= set(names)
    assert load_module("digits_preprocess", "decoding").decode
