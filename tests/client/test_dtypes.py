"""Any array of any datatype and shape goes through an identity model and comes back equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maas_client import Client
from maas_client._dtypes import NUMPY_OF, decode, encode

NUMBERS = [name for name in NUMPY_OF if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Any]:
    datatype = draw(st.sampled_from([name for name in NUMPY_OF if name != "BF16"]))
    shape = draw(SHAPES)
    if datatype != "BYTES":
        return datatype, draw(hnp.arrays(NUMPY_OF[datatype], shape))
    count = int(np.prod(shape))
    array = np.empty(count, object)
    array[:] = draw(st.lists(st.binary(max_size=20), min_size=count, max_size=count))
    return datatype, array.reshape(shape)


@given(tensors())
def test_the_wire_form_is_reversible(tensor: tuple[str, Any]) -> None:
    datatype, array = tensor
    np.testing.assert_array_equal(decode(encode(array, datatype), datatype, array.shape), array)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensor=tensors())
def test_a_real_model_gives_back_what_it_got(client: Client, tensor: tuple[str, Any]) -> None:
    datatype, array = tensor
    answer = client.infer("anything", {f"x{datatype}_{array.ndim}": array}, outputs=[f"y{datatype}_{array.ndim}"])
    came = answer[f"y{datatype}_{array.ndim}"]
    assert came.dtype == array.dtype
    np.testing.assert_array_equal(came, array)


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_bf16_keeps_eight_bits_of_precision(array: Any) -> None:
    came = decode(encode(array, "BF16"), "BF16", array.shape)
    normal = np.isfinite(array) & (np.abs(array) > 1e-37) & (np.abs(array) < 3e38)
    np.testing.assert_allclose(came[normal], array[normal], rtol=2**-8)
    np.testing.assert_array_equal(np.isnan(came), np.isnan(array))


def test_bf16_rounds_to_the_nearest_even() -> None:
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F800001], np.uint32).view(np.float32)
    assert np.frombuffer(encode(bits, "BF16"), "<u2").tolist() == [0x3F80, 0x3F82, 0x3F81, 0x7FC0]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x01\x00\x00", "inside a length"),
        (b"\x05\x00\x00\x00ab", "inside element 0"),
        (b"\x00\x00\x00\x00" * 3, "3 elements"),
    ],
)
def test_broken_bytes_data_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        decode(data, "BYTES", (2,))


@pytest.mark.parametrize("datatype", NUMBERS)
def test_data_of_another_size_is_refused(datatype: str) -> None:
    with pytest.raises(ValueError, match="needs"):
        decode(b"\x00" * 7, datatype, (2, 2))
