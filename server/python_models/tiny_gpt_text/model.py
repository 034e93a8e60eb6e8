"""Triton model: a prompt in, a stream of tokens out, one response for each (decoupled).

Input ``prompt`` BYTES [1]; optional ``max_tokens`` INT32 [1], ``temperature`` FP32 [1], ``top_k`` INT32 [1], ``seed``
UINT64 [1] and ``stop`` BYTES [stops]. Outputs ``text`` BYTES [1], ``token`` INT32 [1] and ``finish_reason`` BYTES [1],
"" but on the last response.

Every token is one request to ``tiny_gpt`` on the same server, which gets the keys and values of what came before with
it. Between two tokens it is looked whether the caller is still there.

Parameters of ``config.pbtxt``: ``max_tokens_limit`` (default 256); ``streams`` (default 4), how many texts grow at a
time; and ``waiting`` (default 64), how many further requests wait. What comes beyond is refused with UNAVAILABLE, and
so is what still waits when the model is unloaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from .answering import failure, refusal, whole_number
from .each import ItemError
from .generation import Piece, generate
from .vocabulary import Vocabulary
from .wishes import read_wishes

_NETWORK = "tiny_gpt"
_VOCABULARY_FILE = "tokenizer.json"
_GEOMETRY_FILE = "geometry.json"
_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class _NetworkFailed(Exception):
    """The network gave no answer."""


class TritonPythonModel:
    """Reads requests, asks the network, sends pieces; what a piece is stands in ``generation.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads vocabulary and parameters; what is missing or makes no sense keeps the model from loading."""
        self.max_tokens_limit = whole_number(args, "max_tokens_limit", 256)
        try:
            self.vocabulary = Vocabulary(Path(__file__).with_name(_VOCABULARY_FILE).read_text(encoding="utf-8"))
            geometry = json.loads(Path(__file__).with_name(_GEOMETRY_FILE).read_text(encoding="utf-8"))
            self.context = int(geometry["context"])
            self.no_past = np.zeros(geometry["no_past"], np.float32)
        except (OSError, ValueError, KeyError) as error:
            raise pb_utils.TritonModelException(f"a file beside model.py is missing or damaged: {error}") from error
        streams = whole_number(args, "streams", 4)
        self.places = BoundedSemaphore(streams + whole_number(args, "waiting", 64))
        self.pool = ThreadPoolExecutor(streams, thread_name_prefix="stream")
        self.is_ending = False

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> None:
        """Begins a stream for each request and returns at once."""
        for request in requests:
            sender = request.get_response_sender()
            if self.places.acquire(blocking=False):
                self.pool.submit(self._stream_in_place, request, sender)
            else:
                sender.send(_unavailable("too many texts are waiting; try again later"), flags=_FINAL)

    def finalize(self) -> None:
        """Ends the requests that wait, and waits for the streams under way."""
        self.is_ending = True
        self.pool.shutdown()

    def _stream_in_place(self, request: pb_utils.InferenceRequest, sender: pb_utils.InferenceResponseSender) -> None:
        try:
            if self.is_ending:
                sender.send(_unavailable("the model is being unloaded"), flags=_FINAL)
            elif sender.is_cancelled():
                sender.send(flags=_FINAL)
            else:
                self._stream(request, sender)
        finally:
            self.places.release()

    def _stream(self, request: pb_utils.InferenceRequest, sender: pb_utils.InferenceResponseSender) -> None:
        """Whatever happens, the last thing that is sent is final: a stream without an end holds its caller for ever."""
        try:
            for piece in self._pieces(request):
                if sender.is_cancelled():
                    break
                sender.send(_response(piece))
            sender.send(flags=_FINAL)
        except ItemError as error:
            sender.send(refusal(str(error)), flags=_FINAL)
        except _NetworkFailed as error:
            sender.send(failure(f"{_NETWORK} did not answer: {error}"), flags=_FINAL)
        except Exception as error:  # noqa: BLE001  # of a thread of a pool nobody else would hear it
            pb_utils.Logger.log_error(f"a stream failed: {error!r}")
            sender.send(failure("the text could not be continued; the server's log says why"), flags=_FINAL)

    def _pieces(self, request: pb_utils.InferenceRequest) -> Any:
        given = {tensor.name(): tensor.as_numpy().ravel().tolist() for tensor in request.inputs()}
        wishes = read_wishes(given, self.max_tokens_limit)
        return generate(wishes, self.vocabulary, _ask, context=self.context, empty=self.no_past)


def _unavailable(reason: str) -> pb_utils.InferenceResponse:
    """The answer to a request that may be sent again later: over HTTP 503."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason, pb_utils.TritonError.UNAVAILABLE))


def _ask(token: npt.NDArray[Any], past: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    request = pb_utils.InferenceRequest(
        model_name=_NETWORK,
        requested_output_names=["logits", "present"],
        inputs=[pb_utils.Tensor("token", token), pb_utils.Tensor("past", past)],
    )
    response = request.exec()
    error = response.error()
    if error is not None:
        raise _NetworkFailed(error.message())
    tensors = [pb_utils.get_output_tensor_by_name(response, name) for name in ("logits", "present")]
    logits, present = (None if tensor is None else tensor.as_numpy() for tensor in tensors)
    if logits is None or present is None:
        raise _NetworkFailed("an output is missing")
    # Copied: the arrays lie in shared memory that goes with the response.
    return logits.copy(), present.copy()


def _response(piece: Piece) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(
        [
            _text("text", piece.text),
            pb_utils.Tensor("token", np.array([piece.token], np.int32)),
            _text("finish_reason", piece.finish_reason),
        ]
    )


def _text(name: str, text: str) -> pb_utils.Tensor:
    """BYTES [1]: this model has no batch axis."""
    return pb_utils.Tensor(name, np.array([text.encode()], dtype=np.object_))
