"""The rules of the layout: who may import whom, what files may be named, how long they may be."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "maas_core": "core",
    "maas_client": "client",
    "maas_export": "export",
    "maas_server": "server",
    "maas_rollout": "rollout",
    "maas_gateway": "gateway",
    "maas_loadtest": "loadtest",
}
SHARED = {"maas_core", "maas_client"}
MAY_IMPORT = {
    "maas_core": set[str](),
    "maas_client": set[str](),
    "maas_export": SHARED,
    "maas_server": SHARED,
    "maas_rollout": SHARED | {"maas_gateway", "maas_server"},
    "maas_gateway": SHARED,
    "maas_loadtest": SHARED,
}
MOST_LINES = 400


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", pattern], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / PACKAGES[package] / package).rglob("*.py")
        for name in imported_packages(path)
        if name in PACKAGES and name not in allowed
    }
    assert not wrong


def test_core_and_client_need_neither_torch_nor_locust() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "locust", "gevent"}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for package in SHARED
        for path in (ROOT / PACKAGES[package] / package).rglob("*.py")
        for name in imported_packages(path) & heavy
    }
    assert not wrong


def test_no_top_level_folder_is_a_package() -> None:
    assert not [folder for folder in {*PACKAGES.values(), "docs", "docker"} if (ROOT / folder / "__init__.py").exists()]


def test_no_module_is_named_like_a_dependency() -> None:
    """Such a module shadows the dependency wherever its folder comes first on the path."""
    installed = {name for name in packages_distributions() if name not in PACKAGES}
    wrong = [
        path.relative_to(ROOT)
        for folder in PACKAGES.values()
        for path in (ROOT / folder).rglob("*.py")
        if path.stem in installed | set(sys.stdlib_module_names) - {"__main__", "__init__"}
        # The families of models are named after what they hold, and Triton and pytest prescribe these two names.
        if path.parent.name != "models" and path.stem not in {"model", "__main__", "testing"}
    ]
    assert not wrong


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in tracked("*.py")}
    assert not {path: length for path, length in lengths.items() if length > MOST_LINES}


def test_every_command_of_the_program_comes_from_a_package_of_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commands = project["entry-points"]["maas.commands"]
    missing = [
        value
        for value in commands.values()
        if not (
            ROOT / PACKAGES[value.partition(".")[0]] / (value.partition(":")[0].replace(".", "/") + ".py")
        ).is_file()
    ]
    assert not missing


def test_the_map_of_the_readme_names_every_top_level_folder() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = {path.relative_to(ROOT).parts[0] for path in tracked("*") if len(path.relative_to(ROOT).parts) > 1}
    assert not {folder for folder in folders if f"{folder}/" not in readme}


def test_no_path_of_a_machine_is_in_a_file() -> None:
    homes = ("/" + "root/", "/" + "home/", "/" + "work/")
    wrong = [
        path.relative_to(ROOT)
        for path in tracked("*")
        if path.suffix in {".py", ".md", ".toml", ".pbtxt", ".yaml", ".yml", ".lock", ""}
        if any(home in path.read_text(encoding="utf-8") for home in homes)
    ]
    assert not wrong
