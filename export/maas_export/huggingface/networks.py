"""A folder's model, built by transformers, as an :class:`OwnModel`: inputs, outputs and dynamic axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maas_core.errors import WrongUse
from maas_export.huggingface.directory import PROCESSOR_FILE, Directory, read_directory
from maas_export.huggingface.picture import picture_size
from maas_export.huggingface.tasks import DECODER, ENCODER, TASKS, task_named
from maas_export.networks.gpt import cache_of, stacked
from maas_export.own.model import OwnModel

_TEXT_LENGTHS = (6, 9)
_PICTURE_SIZE = 224
_FRAMES_OF_A_POSITION = 2
"""Whisper's encoder halves the frames of its spectrogram."""


def load_part(path: Path, task: str, part: str) -> OwnModel:
    """One network of a folder.

    Args:
        path: the folder.
        task: what it shall do.
        part: of :mod:`maas_export.huggingface.tasks`.

    Raises:
        WrongUse: where the folder, its architecture or its weights do not fit the task.
    """
    directory = read_directory(path)
    model = _built(directory, task)
    own = _maker(model, task, part)(model, directory)
    weights = "" if directory.has_weights else ", random weights"
    summary = f"{type(model).__name__} of {path.name}{weights}"
    return OwnModel(**{"task": task.replace("-", " "), "summary": summary, **own})


def _built(directory: Directory, task: str) -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise WrongUse("hf: needs transformers", "pip install 'triton-maas[catalogue]'") from error
    wanted = getattr(transformers, task_named(task).auto_class)
    try:
        config = transformers.AutoConfig.from_pretrained(directory.path, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        kind = directory.config["model_type"]
        raise WrongUse(
            f"architecture {kind!r} cannot be built: {_one_line(error)}",
            f"transformers {transformers.__version__} must know it",
        ) from error
    if type(config) not in wanted._model_mapping:
        fitting = [
            name
            for name, each in TASKS.items()
            if type(config) in getattr(transformers, each.auto_class)._model_mapping
        ]
        raise WrongUse(
            f"a {config.model_type} model does not do {task}",
            f"it fits --task {', '.join(fitting) or '(none of ours)'}",
        )
    try:
        return _filled(wanted, directory, config)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise WrongUse(f"{directory.path.name} cannot be loaded: {_one_line(error)}", "save it again") from error


def _filled(wanted: Any, directory: Directory, config: Any) -> Any:
    if not directory.has_weights:
        return wanted.from_config(config, attn_implementation="eager")
    model, report = wanted.from_pretrained(
        directory.path,
        config=config,
        attn_implementation="eager",
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise WrongUse(
            f"the weights lack {missing[0]!r}{f' and {len(missing) - 1} more' if missing[1:] else ''}, "
            "which would be random",
            f"they were saved by {', '.join(directory.config.get('architectures') or ['another class'])}",
        )
    return model


def _maker(model: Any, task: str, part: str) -> Callable[[Any, Directory], dict[str, Any]]:
    if part == DECODER:
        return _decoder
    if part == ENCODER:
        return _encoder
    if task == "text-generation":
        return _generation
    return _pictures if model.main_input_name == "pixel_values" else _texts


class _Outputs(nn.Module):
    """A model that takes its inputs by name, and of whose outputs only some are wanted."""

    def __init__(self, model: nn.Module, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The inputs in order -> the outputs by name."""
        found = self.model(**dict(zip(self._inputs, inputs, strict=True)), return_dict=True)
        return {name: found[name] for name in self._outputs}


def _texts(model: Any, _: Directory) -> dict[str, Any]:
    """Numbers of tokens and their mask, both [batch, length]."""
    classified = _has_logits(model)
    names = ("input_ids", "attention_mask")
    return {
        "module": _Outputs(model, names, ("logits",) if classified else ("last_hidden_state",)),
        "inputs": dict(zip(names, _tokens(model), strict=True)),
        "axes": {name: {0: "batch", 1: "length"} for name in names},
        "sizes": {"length": _TEXT_LENGTHS},
        "ranges": {"input_ids": (0, model.config.vocab_size - 1), "attention_mask": (0, 1)},
        "labels": _labels(model) if classified else (),
    }


def _pictures(model: Any, directory: Directory) -> dict[str, Any]:
    """Normalised colours [batch, channels, height, width], of the size that the processor makes."""
    size = picture_size(directory.json(PROCESSOR_FILE), model.config)
    channels = getattr(model.config, "num_channels", 3)
    if _has_logits(model):
        outputs: tuple[str, ...] = ("logits", "pred_boxes") if hasattr(model, "bbox_predictor") else ("logits",)
    else:
        outputs = ("last_hidden_state",)
    return {
        "module": _Outputs(model, ("pixel_values",), outputs),
        "inputs": {"pixel_values": torch.zeros(2, channels, *(size or (_PICTURE_SIZE, _PICTURE_SIZE)))},
        "axes": {"pixel_values": {0: "batch"}},
        "labels": _labels(model) if outputs == ("logits",) else (),
    }


class _Generator(nn.Module):
    """A causal language model with its keys and values as input and output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, token: Tensor, past: Tensor) -> dict[str, Tensor]:
        """Tokens [batch, time] behind ``past`` -> the logits of each next token, and keys and values with them added.

        ``past`` and ``present`` are [batch, layers, 2, heads, past, width]; ``past`` may be 0 long.
        """
        found = self.model(input_ids=token, past_key_values=cache_of(past), use_cache=True, return_dict=True)
        return {"logits": found.logits, "present": stacked(found.past_key_values)}


def _generation(model: Any, _: Directory) -> dict[str, Any]:
    token = torch.zeros(2, 3, dtype=torch.int64)
    with torch.inference_mode():
        cache = model.eval()(input_ids=token, use_cache=True).past_key_values
    if cache is None:
        raise WrongUse(
            f"{type(model).__name__} keeps no keys and values here", "is_decoder in config.json must be true"
        )
    if len({tuple(value.shape) for layer in cache.layers for value in (layer.keys, layer.values)}) > 1:
        raise WrongUse("the layers' keys and values have different shapes", "export it with OwnModel")
    past = stacked(cache).clone()
    return {
        "module": _Generator(model),
        "inputs": {"token": token, "past": past},
        "axes": {"token": {0: "batch", 1: "time"}, "past": {0: "batch", 4: "past"}},
        "sizes": {"time": (3, 1, 2), "past": (4, 0)},
        "ranges": {"token": (0, model.config.vocab_size - 1), "past": (-1, 1)},
    }


class _Decoder(nn.Module):
    """The decoder of an encoder-decoder model, without a cache: every call reads the whole beginning."""

    def __init__(self, model: nn.Module, *, has_mask: bool) -> None:
        super().__init__()
        self.model, self._has_mask = model, has_mask

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Tokens [batch, time], encoded [batch, length, width] and, for texts, its mask -> the next tokens' logits."""
        from transformers.modeling_outputs import BaseModelOutput

        mask = {"attention_mask": inputs[2]} if self._has_mask else {}
        encoded = BaseModelOutput(last_hidden_state=inputs[1])
        found = self.model(
            decoder_input_ids=inputs[0], encoder_outputs=encoded, use_cache=False, return_dict=True, **mask
        )
        return {"logits": found.logits}


def _encoder(model: Any, _: Directory) -> dict[str, Any]:
    encoder = model.get_encoder()
    if model.main_input_name == "input_features":
        frames = _FRAMES_OF_A_POSITION * model.config.max_source_positions
        return {
            "module": _Outputs(encoder, ("input_features",), ("last_hidden_state",)),
            "inputs": {"input_features": torch.zeros(2, model.config.num_mel_bins, frames)},
            "axes": {"input_features": {0: "batch"}},
        }
    names = ("input_ids", "attention_mask")
    return {
        "module": _Outputs(encoder, names, ("last_hidden_state",)),
        "inputs": dict(zip(names, _tokens(model), strict=True)),
        "axes": {name: {0: "batch", 1: "length"} for name in names},
        "sizes": {"length": _TEXT_LENGTHS},
        "ranges": {"input_ids": (0, model.config.vocab_size - 1), "attention_mask": (0, 1)},
    }


def _decoder(model: Any, _: Directory) -> dict[str, Any]:
    has_mask = model.main_input_name == "input_ids"
    length = _TEXT_LENGTHS[0] if has_mask else model.config.max_source_positions
    width = model.config.d_model
    inputs: dict[str, Tensor] = {
        "token": torch.zeros(2, 3, dtype=torch.int64),
        "encoded": torch.randn(2, length, width),
    }
    axes: dict[str, Mapping[int, str]] = {"token": {0: "batch", 1: "time"}, "encoded": {0: "batch"}}
    ranges: dict[str, tuple[float, float]] = {"token": (0, model.config.vocab_size - 1)}
    sizes: dict[str, Sequence[int]] = {"time": (3, 1, 2)}
    if has_mask:
        inputs["attention_mask"] = torch.ones(2, length, dtype=torch.int64)
        axes |= {"encoded": {0: "batch", 1: "length"}, "attention_mask": {0: "batch", 1: "length"}}
        ranges["attention_mask"] = (0, 1)
        sizes["length"] = _TEXT_LENGTHS
    return {
        "module": _Decoder(model, has_mask=has_mask),
        "inputs": inputs,
        "axes": axes,
        "ranges": ranges,
        "sizes": sizes,
    }


def _tokens(model: Any) -> tuple[Tensor, Tensor]:
    length = _TEXT_LENGTHS[0]
    return torch.randint(0, model.config.vocab_size, (2, length)), torch.ones(2, length, dtype=torch.int64)


def _labels(model: Any) -> tuple[str, ...]:
    named = model.config.id2label
    return tuple(str(named[number]) for number in range(model.config.num_labels))


def _has_logits(model: Any) -> bool:
    return "For" in type(model).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
