"""Requests of 2 GiB are refused in one line, over all four ways, without being copied."""

from __future__ import annotations

import resource
from typing import Any

import numpy as np
import pytest

from maas_client import RefusedValueError

MIB = 2**20


def test_two_gibibytes_are_refused_before_they_are_copied(client: Any) -> None:
    # Zeros are pages that nobody has touched: they take no memory.
    array = np.zeros(2**31, np.uint8)
    client.infer("anything", xUINT8_1=array[:1], outputs=["yUINT8_1"])
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RefusedValueError) as caught:
        client.infer("anything", xUINT8_1=array, outputs=["yUINT8_1"])
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) * 1024
    assert grown_bytes < 64 * MIB
    assert "send smaller batches" in caught.value.message
    assert "2147483647" in caught.value.message
    assert "\n" not in str(caught.value)
