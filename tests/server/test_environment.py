"""What is refused before the server starts, each with its mend."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import find_libpython
import pytest

from maas_server import binary, environment, runtime_dir
from maas_server.binary import backends_dir, find_binary
from maas_server.errors import TritonNotFound, UnusableEnvironment


@pytest.fixture(autouse=True)
def _no_server_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    original = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *a, **k: None if name == "tritonserver" else original(name, *a, **k)
    )


def test_numpy_2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "version", lambda _name: "2.1.0")
    with pytest.raises(UnusableEnvironment, match=r"numpy < 2 and numpy is 2\.1\.0; pip install 'numpy==1\.26\.4'"):
        find_binary()


def test_missing_numpy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "version", missing)
    with pytest.raises(UnusableEnvironment, match="numpy and it is missing"):
        find_binary()


def test_missing_libpython_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment.sysconfig, "get_config_var", lambda _name: str(tmp_path))
    monkeypatch.setattr(find_libpython, "find_libpython", lambda: None)
    with pytest.raises(UnusableEnvironment, match=r"libpython3\.\d+\.so\.1\.0 .*apt-get install libpython3\.\d+"):
        find_binary()


def test_libpython_is_found_where_sysconfig_does_not_know(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = tmp_path / f"lib{environment.python_name()}.so.1.0"
    monkeypatch.setattr(environment.sysconfig, "get_config_var", lambda _name: "/nowhere")
    monkeypatch.setattr(find_libpython, "find_libpython", lambda: str(library))
    assert tmp_path in find_binary().library_path


@pytest.mark.parametrize(
    ("confstr", "words"), [("glibc 2.31", "this system has glibc 2.31"), ("", "another C library")]
)
def test_old_or_other_c_library_is_refused(monkeypatch: pytest.MonkeyPatch, confstr: str, words: str) -> None:
    monkeypatch.setattr(os, "confstr", lambda _name: confstr)
    with pytest.raises(UnusableEnvironment, match=f"glibc 2.35 or newer and {words}|{words}"):
        find_binary()


def test_no_server_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "wheel_dir", lambda: None)
    with pytest.raises(TritonNotFound, match=r"pip install --no-deps nvidia-pytriton==0\.7\.0"):
        find_binary()


def test_a_python_without_stub_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "python_backend_stubs" / "3.8").mkdir(parents=True)
    (tmp_path / "python_backend_stubs" / "3.10").mkdir()
    monkeypatch.setattr(binary, "wheel_dir", lambda: tmp_path)
    with pytest.raises(UnusableEnvironment, match=r"no stub for Python 3\.\d+; use one of Python 3\.8, 3\.10"):
        find_binary()


def test_a_server_on_path_comes_before_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = tmp_path / "bin" / "tritonserver"
    installed.parent.mkdir()
    installed.touch(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: str(installed))
    found = find_binary()
    assert found.path == installed
    assert found.library_path == ()


def test_our_backends_are_found_in_a_checkout_and_in_a_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert (backends_dir() / "onnxruntime" / "model.py").is_file()
    package = tmp_path / "site-packages" / "maas_server"
    (package / "backends" / "onnxruntime").mkdir(parents=True)
    monkeypatch.setattr(binary, "__file__", str(package / "binary.py"))
    assert backends_dir() == package / "backends"
    shutil.rmtree(package / "backends")
    with pytest.raises(UnusableEnvironment, match="install it again"):
        backends_dir()


def test_a_temporary_folder_with_a_blank_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blank = tmp_path / "a blank"
    blank.mkdir()
    monkeypatch.setattr(runtime_dir.tempfile, "gettempdir", lambda: str(blank))
    made = runtime_dir.make_runtime_dir(find_binary(), tmp_path, [])
    try:
        assert " " not in str(made.path)
    finally:
        made.remove()
