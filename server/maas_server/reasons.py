"""From Triton's words for a model that does not load to what is wrong and how to mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Mend:
    """A kind of failure.

    Attributes:
        pattern: what Triton, Python or ONNX Runtime say.
        mend: what to do; may name groups of the pattern.
    """

    pattern: re.Pattern[str]
    mend: str


def _mend(pattern: str, mend: str) -> Mend:
    return Mend(re.compile(pattern, re.IGNORECASE), mend)


# The first that fits counts: the particular ones stand before the general ones.
_MENDS = (
    _mend(
        r"No module named '(?P<name>[\w.]+)'", "pip install the package that holds {name} into the server's environment"
    ),
    _mend(r"numpy.*(?:2\.\d|ABI|_ARRAY_API)", "pip install 'numpy==1.26.4'"),
    _mend(
        r"unable to find backend library for backend '(?P<name>[^']*)'|unable to find '(?P<lib>libtriton_[^']*)'",
        "this server has no such backend: serve the model on NVIDIA's container, or export it as onnx",
    ),
    _mend(
        r"instance group .* (?:gpu|GPU)|KIND_GPU|no GPUs? (?:is|are) available",
        "leave `kind` out of instance_group, so that the config fits servers with and without a GPU",
    ),
    _mend(
        r"Protobuf parsing failed|INVALID_PROTOBUF|ModelProto",
        "the file is truncated or damaged: publish the version again",
    ),
    _mend(
        r"Unsupported model IR version|opset .* is under development|Opset \d+",
        "export the model with opset 20 (IR 10)",
    ),
    _mend(
        r"NOT_IMPLEMENTED|Could not find an implementation",
        "this onnxruntime has no kernel for that operator: export with opset 20, without fp16",
    ),
    _mend(r"(?:NO_?SUCH_?FILE|does not exist|No such file)", "the version is not complete: publish it again"),
    _mend(
        r"at least one version must be available|no version is available",
        "no version folder fits the config's version_policy: run `maas publish`, or mend the policy",
    ),
    _mend(
        r"Error parsing text-format|failed to read text proto|unable to parse",
        "mend that line of config.pbtxt (`maas lint`)",
    ),
    _mend(
        r"ensemble .* (?:depends on|contains)|which has no loaded version",
        "make the models that the ensemble is made of load first: `maas explain` each",
    ),
    _mend(r"Permission denied", "give the user that runs the server the right to read the file"),
    _mend(r"libpython", "install this Python's shared library, e.g. apt-get install libpython3.11"),
    _mend(
        r"No space left|Failed to (?:increase|initialize) shared memory",
        "make room in /dev/shm (in a container: --shm-size)",
    ),
    _mend(
        r"Stub process .* is not healthy|is not healthy",
        "the model's process ended while starting: the log above that line says why; often memory ran out",
    ),
    _mend(
        r"still loading after", "its initialize() takes too long or hangs; raise --load-timeout where that is expected"
    ),
    _mend(r"ended the server|the server ended", "run `maas explain` for it, alone, and read the log"),
    _mend(
        r"expected? \d+ (?:input|output)|unexpected inference (?:input|output)|configuration expects|"
        r"unexpected datatype|expects? (?:shape|datatype|\d+ dim)|model configuration",
        "the config does not fit the model file: export again, or take the config's inputs and outputs out",
    ),
)
_DEFAULT = "read the server's log"


def mend_for(reason: str) -> str:
    """What to do about a load failure."""
    for entry in _MENDS:
        match = entry.pattern.search(reason)
        if match:
            return entry.mend.format(**{key: value or "" for key, value in match.groupdict().items()})
    return _DEFAULT


def explain_failure(reason: str) -> str:
    """A load failure and its mend in one line."""
    return f"{reason.rstrip('. ')}; {mend_for(reason)}"
