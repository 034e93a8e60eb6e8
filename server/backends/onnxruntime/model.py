"""A Python-based Triton backend that serves ONNX files where NVIDIA's C++ backend ``onnxruntime`` is not at hand.

It takes the very ``config.pbtxt`` that NVIDIA's takes. The siblings carry the prefix ``ort_`` because Triton's stub
appends this folder to ``sys.path``, behind site-packages, whose modules would otherwise shadow them.
"""

from __future__ import annotations

import gc
import json
import os
import time
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from ort_errors import LoadError


class TritonPythonModel:
    """One model instance; Triton starts one process for each.

    Heavy imports stand inside the methods: auto-completion has a process of its own, and most models need none there.
    """

    @staticmethod
    def auto_complete_config(auto_complete_model_config: pb_utils.ModelConfig) -> pb_utils.ModelConfig:
        """Fills in inputs and outputs from the ONNX file where ``config.pbtxt`` leaves them out."""
        from ort_autocomplete import complete_config, needs_completion

        config = auto_complete_model_config.as_dict()
        if needs_completion(config):
            import onnxruntime as ort
            from ort_graph import read_graph

            try:
                # Triton names the model file's own folder, also when default_model_filename has folders in it.
                file = Path(config.get("default_model_filename") or "model.onnx").name
                options = ort.SessionOptions()
                options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
                session = open_model(
                    Path(pb_utils.get_model_dir()) / file, config["name"], options, ["CPUExecutionProvider"]
                )
                complete_config(config, read_graph(session))
            except LoadError as error:
                raise pb_utils.TritonModelException(str(error)) from None
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the ONNX file and refuses a configuration that contradicts it.

        Args:
            args: what Triton says about this instance; ``model_repository`` is the model's own folder.
        """
        try:
            self._open(args)
        except LoadError as error:
            raise pb_utils.TritonModelException(str(error)) from None

    def _open(self, args: dict[str, str]) -> None:
        import onnxruntime as ort
        from ort_batch import Batcher
        from ort_config import parse_config
        from ort_contract import check_contract
        from ort_graph import read_graph
        from ort_options import execution_providers, run_options, session_options
        from ort_runner import runner_of
        from ort_state import Sequences, Sweeper
        from ort_version import VersionInfo

        started_s = time.monotonic()
        config = parse_config(json.loads(args["model_config"]))
        version_folder = Path(args["model_repository"]) / args["model_version"]
        providers = execution_providers(
            config,
            on_gpu=args["model_instance_kind"] == "GPU",
            device_id=int(args["model_instance_device_id"]),
            available=ort.get_available_providers(),
            # Every instance finds the same; one of them says it.
            log=pb_utils.Logger.log_warn if args["model_instance_name"].endswith("_0") else _say_nothing,
        )
        session = open_model(version_folder / config.model_filename, config.name, session_options(config), providers)
        graph = read_graph(session)
        check_contract(config, graph)
        self._decoupled = config.decoupled
        sequences = Sequences(config) if config.is_sequence else None
        self._sweeper = Sweeper(sequences) if sequences is not None and sequences.keep_s > 0 else None
        self._batcher = Batcher(config, graph, runner_of(session, graph, run_options(config)), sequences)
        self._version_info = VersionInfo(args["model_name"], args["model_version"], version_folder)
        # What is loaded by now stays: the garbage collector need not walk through it in the middle of requests.
        gc.collect()
        gc.freeze()
        pb_utils.Logger.log_info(
            f"{args['model_instance_name']} version {args['model_version']}: opened in "
            f"{time.monotonic() - started_s:.2f} s with {', '.join(session.get_providers())}; resident memory of this "
            f"instance {resident_memory_bytes() / 1e6:.0f} MB"
        )

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse] | None:
        """Answers ``requests``, which Triton has batched, each with outputs or with an error.

        Returns:
            One response per request, in order; None under a decoupled policy, where each goes to its own sender.
        """
        responses = self._batcher.respond(requests)
        if not self._decoupled:
            return responses
        for request, response in zip(requests, responses, strict=True):
            request.get_response_sender().send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None

    def finalize(self) -> None:
        """Withdraws what the process leaves behind in the server, and ends the sweeper's thread."""
        self._version_info.withdraw()
        if self._sweeper is not None:
            self._sweeper.stop()


def _say_nothing(_message: str) -> None:
    """A log that keeps nothing."""


def open_model(path: Path, model: str, options: Any, providers: list[Any]) -> Any:
    """An ``onnxruntime.InferenceSession`` over ``path``, or over the ``model.onnx`` in it if it is a folder.

    Raises:
        LoadError: there is no such file, or ONNX Runtime refuses it.
    """
    import onnxruntime as ort

    file = path / "model.onnx" if path.is_dir() else path
    if not file.exists():
        raise LoadError(
            f"unable to find '{file}' for model '{model}'; put the ONNX file there, "
            "or name it in default_model_filename"
        )
    try:
        return ort.InferenceSession(os.fspath(file), options, providers=providers)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base of their own
        raise LoadError(f"ONNX Runtime cannot load '{file}': {error}") from None


def resident_memory_bytes() -> int:
    """How much memory this process holds (``/proc/self/statm``, second field, in pages)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
