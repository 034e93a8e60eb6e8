"""Versions of one small model, good ones and bad ones; the bad ones are well until callers come.

``y`` is ``x`` times the build's factor, so that an answer tells which build gave it. Callers mark their requests with
``x[0]``; golden samples and load tests do not: what is wrong with a version shows only to callers.
"""

from __future__ import annotations

from pathlib import Path

from tests.rollout.bundles import make_bundle

MODEL = "multiplier"
CALLER = 7777.0
"""What callers put into ``x[0]``."""
BAD_KINDS = ("slow", "errors", "wrong", "crash", "unloadable", "leak")

_MODEL = '''
import os


class TritonPythonModel:
    """Build {build}: {kind}."""

    def initialize(self, args):
        self._from_callers = 0
        self._kept = []
        {on_load}

    def execute(self, requests):
        time.sleep({seconds})
        return [self._answer(pb_utils.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]

    def _answer(self, x):
        y = x * FACTOR
        if x.flat[0] == {caller}:
            self._from_callers += 1
            {on_call}
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", y.astype(x.dtype))])
'''
_ON_CALL = {
    "errors": "if self._from_callers % 100 == 0:\n                return pb_utils.InferenceResponse(error="
    'pb_utils.TritonError("the hundredth", pb_utils.TritonError.INTERNAL))',
    "wrong": "y = y + 1 if self._from_callers % 2 else y",
    "crash": "if self._from_callers == 50:\n                os._exit(1)",
    "leak": 'self._kept.append(b"x" * 1_500_000)',
}
_SECONDS, _SLOW_SECONDS = 0.02, 0.06


def make_version(root: Path, build: int, kind: str = "good", *, factor: int = 2) -> Path:
    """A stamped bundle.

    Args:
        root: the folder for it.
        build: its number; builds differ in their bytes.
        kind: ``good``, or what is wrong with it.
        factor: what it multiplies by.
    """
    source = _MODEL.format(
        build=build,
        kind=kind,
        caller=CALLER,
        seconds=_SLOW_SECONDS if kind == "slow" else _SECONDS,
        on_load='raise RuntimeError("this build will not load")' if kind == "unloadable" else "",
        on_call=_ON_CALL.get(kind, "pass"),
    )
    folder = root / f"{build}-{kind}"
    return make_bundle(folder, MODEL, factor, more=source)
