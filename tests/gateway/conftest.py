"""What the tests of admission share: one real Triton behind one gateway without keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.throwaway import Behind, behind_gateway


@pytest.fixture(scope="session")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind_gateway(tmp_path_factory.mktemp("behind"), "--no-keys") as behind:
        yield behind
