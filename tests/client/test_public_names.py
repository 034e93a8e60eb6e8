"""What `import maas_client` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import maas_client


def test_every_public_name_is_there_and_shown() -> None:
    for name in maas_client.__all__:
        assert getattr(maas_client, name) is not None
        assert name in dir(maas_client)
    assert maas_client.errors.MaasClientError is maas_client.MaasClientError


def test_a_name_that_is_not_there_is_said_so() -> None:
    with pytest.raises(AttributeError, match="'maas_client' has no attribute 'Clinet'"):
        _ = maas_client.Clinet  # type: ignore[attr-defined]  # on purpose
    with pytest.raises(ImportError, match="cannot import name 'Clinet'"):
        from maas_client import Clinet  # type: ignore[attr-defined]  # noqa: F401  # likewise


def test_the_list_of_all_commands_imports_nothing_that_takes_long() -> None:
    shown = "import sys; from maas_core.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    wanted = "print([name for name in ('numpy', 'grpc', 'torch') if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", shown + wanted], capture_output=True, text=True, check=True)
    assert "predict" in done.stdout
    assert done.stderr == "[]\n"
