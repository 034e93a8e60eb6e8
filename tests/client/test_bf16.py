"""BF16 through a real server and the ONNX Runtime backend: float32 on this side, all four ways, shared memory too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.client.ways import open_client


def write_identity(folder: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.BFLOAT16, ["batch", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (folder / "bf16" / "1").mkdir(parents=True)
    onnx.save(model, folder / "bf16" / "1" / "model.onnx")
    (folder / "bf16" / "config.pbtxt").write_text(
        'backend: "onnxruntime"\nmax_batch_size: 4\n'
        'input { name: "x" data_type: TYPE_BF16 dims: [3] }\noutput { name: "y" data_type: TYPE_BF16 dims: [3] }\n'
    )


@pytest.fixture(scope="module")
def server(module_triton_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bf16") / "repository"
    write_identity(folder)
    return module_triton_server(folder, allow_shared_memory=True)


@pytest.mark.parametrize("via", [None, "system_shared_memory"])
def test_float32_goes_in_rounded_and_comes_back_as_float32(server: Any, way: str, via: Any) -> None:
    protocol = way.removesuffix("-async")
    where = server.http_url if protocol == "http" else server.grpc_url
    exact = np.array([[1.5, -0.15625, np.inf], [0, 3e38, 2**-126]], np.float32)
    with open_client(way, f"{protocol}://{where}", timeout_s=30) as client:
        answer = client.infer("bf16", x=exact, via=via)["y"]
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, exact, rtol=2**-8)
        np.testing.assert_array_equal(answer[0], exact[0])
        assert client.infer("bf16", x=[[1.00390625, np.nan, 1.01171875]], via=via)["y"].tolist()[0][::2] == [
            1.0,
            1.015625,
        ]
