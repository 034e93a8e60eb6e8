"""A cure for torch.onnx.export, which exports recurrent layers with a free length only once in a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export._patches import register_gru_while_loop_decomposition, register_lstm_while_loop_decomposition


@contextmanager
def recurrent_layers_as_loops() -> Iterator[None]:
    """Within it, every ``nn.LSTM`` and ``nn.GRU`` becomes a loop over the steps, in the second export too.

    torch registers these loops during capture only, while its operators keep the first kernel that they were
    dispatched to (``OpOverload._dispatch_cache``): later exports get a layer unrolled to the length of the example, or
    fail. So the loops stay registered here, and the caches are emptied before and after.
    """
    _forget_kernels()
    try:
        with register_lstm_while_loop_decomposition(), register_gru_while_loop_decomposition():
            yield
    finally:
        _forget_kernels()


def _forget_kernels() -> None:
    for layer in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        layer._dispatch_cache.clear()
