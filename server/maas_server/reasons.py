"""From the reason why a model does not load to how to mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class _Mend:
    """A kind of failure.

    Attributes:
        pattern: what Triton, Python or ONNX Runtime say.
        mend: what to do; may name groups of the pattern.
    """

    pattern: re.Pattern[str]
    mend: str


def _mend(pattern: str, mend: str) -> _Mend:
    return _Mend(re.compile(pattern, re.IGNORECASE), mend)


# The first that fits counts: the particular ones stand before the general ones.
_MENDS = (
    _mend(
        r"No module named '(?P<name>[\w.]+)'",
        "pip install the package that holds {name} into the Python environment that runs the server",
    ),
    _mend(r"_ARRAY_API|compiled using NumPy 1|numpy\.core\.multiarray", "pip install 'numpy==1.26.4'"),
    _mend(
        r"unable to find backend library for backend '(?P<name>[^']*)'",
        "this server has no backend {name}: serve the model on NVIDIA's container, or export it as onnx",
    ),
    _mend(
        r"kind KIND_GPU|no GPUs are available",
        "leave `kind` out of instance_group, so that the config fits machines with and without a GPU",
    ),
    _mend(r"^config\.pbtxt:\d+:\d+", "mend that line and column of config.pbtxt"),
    _mend(r"config\.pbtxt:? ?\d*", "mend the model's config.pbtxt"),
    _mend(r"ensemble '?[\w.-]+'? (?:depends on|contains)", "make the models that it is made of load first"),
    _mend(r"Unsupported model IR version|Opset \d+ is under development", "export the model with opset 20 (IR 10)"),
    _mend(r"No Op registered|NOT_IMPLEMENTED", "ONNX Runtime has no such operator: export with opset 20, without fp16"),
    _mend(
        r"INVALID_PROTOBUF|No graph was found|Protobuf parsing failed",
        "the file is truncated or damaged: publish the version again",
    ),
    _mend(
        r"at least one version must be available",
        "no version folder fits the config's version_policy: publish a version, or mend the policy",
    ),
    _mend(r"unable to find '.*\.onnx'|does not exist|No such file", "the version is incomplete: publish it again"),
    _mend(r"Permission denied", "give the user that runs the server the right to read that file"),
    _mend(r"error while loading shared libraries|libpython", "see `maas doctor`"),
    _mend(
        r"No space left|(?:increase|initialize|create) .*shared memory", "make room in /dev/shm (docker: --shm-size)"
    ),
    _mend(
        r"Stub process .* is not healthy", "its process ended while it started: memory may have run out, or it exits"
    ),
    _mend(r"still loading after", "its initialize() hangs or is slow; raise --load-timeout where that is expected"),
    _mend(
        r"configuration expects|model configuration|unexpected inference|allowed (?:inputs|outputs)|max_batch_size",
        "the config does not fit the model file: export again, or leave inputs and outputs out of the config",
    ),
    _mend(r"has no attribute 'TritonPythonModel'", "name the class in model.py TritonPythonModel"),
    _mend(r"^(?:\w+\.)*\w*(?:Error|Exception): ", "mend the Python model, or what it reads"),
)
_DEFAULT = "read the server's log"


def mend_for(reason: str) -> str:
    """What to do about a load failure."""
    for entry in _MENDS:
        match = entry.pattern.search(reason)
        if match:
            return entry.mend.format(**match.groupdict())
    return _DEFAULT


def explain_failure(reason: str) -> str:
    """A load failure and its mend in one line."""
    return f"{reason.rstrip('. ')}; {mend_for(reason)}"
