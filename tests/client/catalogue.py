"""Stand-ins for what a catalogue serves: texts, detections, embeddings, a stateful ensemble, streamed tokens."""

from __future__ import annotations

from pathlib import Path

from tests.client.repository import tensor, write_model

_MOODS = '''
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """"good" in a text makes it glad; an empty text is an error; the attention lies on the letter g."""

    def execute(self, requests):
        return [self._answer(pb_utils.get_input_tensor_by_name(r, "text").as_numpy().ravel()) for r in requests]

    def _answer(self, values):
        texts = [value.decode() for value in values]
        letters = [list(text[:16]) + [""] * (16 - len(text[:16])) for text in texts]
        label = [["glad", "sad"] if "good" in text else ["sad", "glad"] for text in texts]
        attention = [[float(letter == "g") for letter in row] for row in letters]
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("label", np.array(label, object)),
            pb_utils.Tensor("score", np.array([[0.75, 0.25]] * len(texts), np.float32)),
            pb_utils.Tensor("error", np.array([["" if text else "an empty text"] for text in texts], object)),
            pb_utils.Tensor("letters", np.array(letters, object)),
            pb_utils.Tensor("attention", np.array(attention, np.float32)),
        ])
'''

_SCENES = '''
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """Finds a 3 and a 7 in every picture; the third row is padding."""

    def execute(self, requests):
        return [self._answer(len(pb_utils.get_input_tensor_by_name(r, "picture").as_numpy())) for r in requests]

    def _answer(self, count):
        boxes = [[10, 20, 30, 60], [50, 20, 80, 60], [0, 0, 0, 0]]
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("boxes", np.array([boxes] * count, np.float32)),
            pb_utils.Tensor("label", np.array([["3", "7", ""]] * count, object)),
            pb_utils.Tensor("score", np.array([[0.9, 0.8, 0]] * count, np.float32)),
            pb_utils.Tensor("count", np.array([[2]] * count, np.int32)),
            pb_utils.Tensor("error", np.array([[""]] * count, object)),
        ])
'''

_EMBEDDINGS = '''
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """Counts letters."""

    def execute(self, requests):
        return [self._answer(pb_utils.get_input_tensor_by_name(r, "text").as_numpy().ravel()) for r in requests]

    def _answer(self, texts):
        counts = [[text.lower().count(bytes([code])) for code in range(97, 123)] for text in texts]
        return pb_utils.InferenceResponse([pb_utils.Tensor("embedding", np.array(counts, np.float32))])
'''

_SHARES = '''
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """Forecasts the mean of what it saw, wider the further ahead; `abc` is an error."""

    def initialize(self, args):
        self._seen = {}

    def execute(self, requests):
        return [self._step(request) for request in requests]

    def _step(self, request):
        start = pb_utils.get_input_tensor_by_name(request, "START").as_numpy().ravel()[0]
        text = pb_utils.get_input_tensor_by_name(request, "observation").as_numpy().ravel()[0]
        seen = self._seen.setdefault(request.correlation_id(), [])
        if start:
            seen.clear()
        if text == b"abc":
            error = pb_utils.TritonError("'abc' is no share", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        if text.strip():
            seen.append(float(text.strip(b" %")) / (100 if b"%" in text else 1))
        middle = float(np.mean(seen)) if seen else 0.0
        forecast = [[[middle - 0.02 * year, middle, middle + 0.02 * year] for year in range(1, 6)]]
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("forecast", np.array(forecast, np.float32)),
            pb_utils.Tensor("seen", np.array([[len(seen)]], np.int32)),
            pb_utils.Tensor("error", np.array([[""]], object)),
        ])
'''

_CHAT = '''
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """Gives the prompt back, word by word, up to max_tokens and any of the words in stop; "fail" fails."""

    def execute(self, requests):
        for request in requests:
            self._answer(request)

    def _answer(self, request):
        sender = request.get_response_sender()
        given = {tensor.name(): tensor.as_numpy().ravel().tolist() for tensor in request.inputs()}
        words = given["prompt"][0].decode().split(" ")
        for word in words[: given.get("max_tokens", [99])[0]]:
            if word.encode() in given.get("stop", []):
                break
            if word == "fail":
                sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError("asked to fail")))
                break
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("text", np.array([word + " "], object))]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
'''

_FORECAST = tensor("input", "observation", "BYTES", "[1]") + "".join(
    tensor("output", name, datatype, dims)
    for name, datatype, dims in (("forecast", "FP32", "[5, 3]"), ("seen", "INT32", "[1]"), ("error", "BYTES", "[1]"))
)
_LABELS = tensor("output", "label", "BYTES", "[-1]") + tensor("output", "score", "FP32", "[-1]")
_ERROR = tensor("output", "error", "BYTES", "[1]")
_START = 'control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] } }'


def write_catalogue(folder: Path) -> None:
    """`mood` and `embedding` take texts, `scene` a picture, `share` (an ensemble) a sequence, `chat` streams."""
    text = tensor("input", "text", "BYTES", "[1]")
    weights = tensor("output", "letters", "BYTES", "[16]") + tensor("output", "attention", "FP32", "[16]")
    write_model(folder, "mood", f"max_batch_size: 8\n{text}{_LABELS}{_ERROR}{weights}", _MOODS)
    write_model(
        folder, "embedding", f"max_batch_size: 8\n{text}" + tensor("output", "embedding", "FP32", "[26]"), _EMBEDDINGS
    )
    found = tensor("output", "boxes", "FP32", "[-1, 4]") + tensor("output", "count", "INT32", "[1]")
    picture = tensor("input", "picture", "BYTES", "[1]")
    write_model(folder, "scene", f"max_batch_size: 8\n{picture}{_LABELS}{_ERROR}{found}", _SCENES)
    # Programs start between two steps, and those that only cause an error never end their sequence.
    idle = "max_sequence_idle_microseconds: 60000000"
    batching = f"sequence_batching {{ {idle} oldest {{ max_candidate_sequences: 64 }} {_START} }}\n"
    write_model(folder, "share_state", f"max_batch_size: 8\n{_FORECAST}{batching}", _SHARES)
    _write_ensemble(folder, "share", "share_state")
    options = tensor("input", "max_tokens", "INT32", "[1]", optional=True) + tensor(
        "input", "stop", "BYTES", "[-1]", optional=True
    )
    stream = "model_transaction_policy { decoupled: true }\n" + tensor("input", "prompt", "BYTES", "[1]")
    write_model(folder, "chat", stream + options + tensor("output", "text", "BYTES", "[1]"), _CHAT)


def _write_ensemble(folder: Path, name: str, step: str) -> None:
    maps = 'input_map { key: "observation" value: "observation" }' + "".join(
        f' output_map {{ key: "{output}" value: "{output}" }}' for output in ("forecast", "seen", "error")
    )
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "config.pbtxt").write_text(
        f'platform: "ensemble"\nmax_batch_size: 8\n{_FORECAST}'
        f'ensemble_scheduling {{ step {{ model_name: "{step}" model_version: -1 {maps} }} }}\n'
    )
