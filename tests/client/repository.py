"""Small models for a real Triton, written on the fly."""

from __future__ import annotations

from pathlib import Path

DATATYPES = [
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
RANKS = (1, 2, 3)

_IDENTITY = '''
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """Gives back every input x... as y...; an input `fail` with text in it is answered with an error."""

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        outputs = []
        for tensor in request.inputs():
            array = tensor.as_numpy()
            if array.dtype == object and b"fail" in array.ravel().tolist():
                return pb_utils.InferenceResponse(error=pb_utils.TritonError("asked to fail"))
            outputs.append(pb_utils.Tensor("y" + tensor.name()[1:], array))
        return pb_utils.InferenceResponse(outputs)
'''

_CLASSIFIER = '''
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """A "picture" is its label; `bad...` is told in the output `error`, `refuse...` makes the whole request fail."""

    def execute(self, requests):
        return [self._answer(pb_utils.get_input_tensor_by_name(r, "picture").as_numpy()) for r in requests]

    def _answer(self, pictures):
        texts = [bytes(picture).decode("utf-8", "replace").strip() for picture in pictures.ravel()]
        if any(text.startswith("refuse") for text in texts):
            error = pb_utils.TritonError("not a picture", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        bad = [text.startswith("bad") for text in texts]
        label = [["" if is_bad else text, "other"] for text, is_bad in zip(texts, bad)]
        score = [[0.0, 0.0] if is_bad else [0.9, 0.1] for is_bad in bad]
        error = [["not a picture" if is_bad else ""] for is_bad in bad]
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("label", np.array(label, object)),
            pb_utils.Tensor("score", np.array(score, np.float32)),
            pb_utils.Tensor("error", np.array(error, object)),
        ])
'''

_SUMS = '''
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """Adds up x over each sequence; `open` tells how many sequences it holds."""

    def initialize(self, args):
        self._totals = {}

    def execute(self, requests):
        return [self._step(request) for request in requests]

    def _step(self, request):
        start, end, x = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0] for name in ("START", "END", "x")
        )
        key = request.correlation_id()
        if start:
            self._totals[key] = 0.0
        if x < 0:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("asked to fail"))
        self._totals[key] += x
        total = np.array([[self._totals[key]]], np.float32)
        if end:
            del self._totals[key]
        is_open = np.array([[len(self._totals)]], np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("total", total), pb_utils.Tensor("open", is_open)])
'''


_COUNTER = '''
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """Counts to n; -1 counts for ever, -2 fails after two answers. `cancelled` is the number of streams that were."""

    def initialize(self, args):
        self._cancelled = 0

    def execute(self, requests):
        for request in requests:
            self._count(request, int(pb_utils.get_input_tensor_by_name(request, "n").as_numpy().ravel()[0]))

    def _count(self, request, n):
        sender = request.get_response_sender()
        for i in range(n if n >= 0 else 1000):
            if request.is_cancelled():
                self._cancelled += 1
                break
            if n == -2 and i == 2:
                sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError("asked to fail")))
                break
            sender.send(pb_utils.InferenceResponse([
                pb_utils.Tensor("i", np.array([i], np.int32)),
                pb_utils.Tensor("text", np.array([f"tökén {i}"], object)),
                pb_utils.Tensor("cancelled", np.array([self._cancelled], np.int32)),
            ]))
            time.sleep(0.01 if n < 0 else 0)
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
'''


def tensor(kind: str, name: str, datatype: str, dims: str, optional: bool = False) -> str:
    of_config = "STRING" if datatype == "BYTES" else datatype
    line = f'{kind} {{ name: "{name}" data_type: TYPE_{of_config} dims: {dims}'
    return line + (" optional: true }\n" if optional else " }\n")


def write_model(repository: Path, name: str, config: str, source: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(source)
    (repository / name / "config.pbtxt").write_text(f'backend: "python"\n{config}')


def write_repository(folder: Path) -> None:
    """Identity models.

    `anything`: an optional input xFP32_2 (and so on) of each datatype and rank, no batching;
    `small`: x FP32 [batch <= 4, 1, 3], which refuses NaN; `texts`: x BYTES [batch <= 8, 1]; `pictures`: a classifier;
    `sums`, `sums_by_short_id`: running totals of sequences; `sums_soon_dropped`: dropped after 0.5 s without a step;
    `counter`: decoupled, counts up to n.
    """
    everything = "".join(
        tensor("input", f"x{datatype}_{rank}", datatype, str([-1] * rank), optional=True)
        + tensor("output", f"y{datatype}_{rank}", datatype, str([-1] * rank))
        for datatype in DATATYPES
        for rank in RANKS
    )
    write_model(folder, "anything", everything, _IDENTITY)
    refuse = 'parameters { key: "reject_nonfinite" value { string_value: "true" } }\n'
    small = tensor("input", "x", "FP32", "[1, 3]") + tensor("output", "y", "FP32", "[1, 3]")
    write_model(folder, "small", "max_batch_size: 4\n" + refuse + small, _IDENTITY)
    texts = tensor("input", "x", "BYTES", "[1]") + tensor("output", "y", "BYTES", "[1]")
    write_model(folder, "texts", "max_batch_size: 8\n" + texts, _IDENTITY)
    pictures = (
        tensor("input", "picture", "BYTES", "[1]")
        + tensor("output", "label", "BYTES", "[2]")
        + tensor("output", "score", "FP32", "[2]")
        + tensor("output", "error", "BYTES", "[1]")
    )
    _write_counter(folder)
    _write_sums(folder, "sums", "UINT64")
    _write_sums(folder, "sums_by_short_id", "INT32")
    _write_sums(folder, "sums_soon_dropped", "UINT64", idle_s=0.5)
    write_model(folder, "pictures", "max_batch_size: 8\n" + pictures, _CLASSIFIER)


def _write_counter(folder: Path) -> None:
    tensors = (
        tensor("input", "n", "INT32", "[1]")
        + tensor("output", "i", "INT32", "[1]")
        + tensor("output", "text", "BYTES", "[1]")
        + tensor("output", "cancelled", "INT32", "[1]")
    )
    write_model(folder, "counter", "model_transaction_policy { decoupled: true }\n" + tensors, _COUNTER)


def _write_sums(folder: Path, name: str, id_type: str, idle_s: float = 30.0) -> None:
    controls = "".join(
        f'control_input {{ name: "{kind}" control {{ kind: CONTROL_SEQUENCE_{kind} {what} }} }}\n'
        for kind, what in (
            ("START", "int32_false_true: [0, 1]"),
            ("END", "int32_false_true: [0, 1]"),
            ("CORRID", f"data_type: TYPE_{id_type}"),
        )
    )
    idle = f"max_sequence_idle_microseconds: {idle_s * 1e6:.0f}\n"
    batching = f"{idle}oldest {{ max_candidate_sequences: 64 }}\n{controls}"
    tensors = (
        tensor("input", "x", "FP32", "[1]")
        + tensor("output", "total", "FP32", "[1]")
        + tensor("output", "open", "INT32", "[1]")
    )
    write_model(folder, name, f"max_batch_size: 8\n{tensors}sequence_batching {{\n{batching}}}\n", _SUMS)


_LOGITS = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        counts = [len(pb_utils.get_input_tensor_by_name(request, "image").as_numpy()) for request in requests]
        logits = [pb_utils.Tensor("logits", np.zeros((count, 10), np.float32)) for count in counts]
        return [pb_utils.InferenceResponse([one]) for one in logits]
"""

_SEVENS = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(len(pb_utils.get_input_tensor_by_name(r, "picture").as_numpy())) for r in requests]

    def _answer(self, count):
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("label", np.array([["7", "1", "2"]] * count, object)),
            pb_utils.Tensor("score", np.array([[0.9, 0.06, 0.04]] * count, np.float32)),
            pb_utils.Tensor("error", np.array([[""]] * count, object)),
        ])
"""


def write_documented(folder: Path) -> None:
    """Stand-ins for the models of the documentation: `digits_cnn`, `digits`, `adder` and `counter`."""
    cnn = tensor("input", "image", "FP32", "[1, 28, 28]") + tensor("output", "logits", "FP32", "[10]")
    write_model(folder, "digits_cnn", "max_batch_size: 32\n" + cnn, _LOGITS)
    digits = (
        tensor("input", "picture", "BYTES", "[1]")
        + tensor("output", "label", "BYTES", "[3]")
        + tensor("output", "score", "FP32", "[3]")
        + tensor("output", "error", "BYTES", "[1]")
    )
    write_model(folder, "digits", "max_batch_size: 32\n" + digits, _SEVENS)
    _write_sums(folder, "adder", "UINT64")
    _write_counter(folder)
