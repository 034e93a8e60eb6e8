"""From a caller's values to a checked request. Calls of a form that was checked before are not checked again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from maas_client._calls import InferCall, ParameterValue, RequestForm
from maas_client._check import check_class_count, check_finite, check_inputs, check_outputs
from maas_client._dtypes import Array, encode
from maas_client._spec import ModelSpec

_MAX_FORMS = 256


@dataclass(slots=True)
class Asked:
    """What a caller wants of one call.

    Attributes:
        inputs: name -> values, as they were passed.
        outputs: names; None is all.
        cast: allow numpy's "safe" casts.
        request_id: comes back with the answer.
        parameters: the request's own.
        class_count: so many best classes of each output in place of its values; None asks for the values.
    """

    inputs: Mapping[str, Any]
    outputs: Sequence[str] | None = None
    cast: bool = False
    request_id: str = ""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    class_count: int | None = None


class Builder:
    """Makes the requests of one model in one version.

    Args:
        spec: what the model takes and gives.
        version: the version to ask for; "" lets the server choose.
    """

    def __init__(self, spec: ModelSpec, version: str) -> None:
        self.spec = spec
        self._version = version
        self._forms: dict[Hashable, RequestForm] = {}

    def build(self, asked: Asked) -> InferCall:
        """The request for a caller's values.

        Raises:
            InputError: they do not fit the model.
        """
        key = _key(asked)
        form = None if key is None else self._forms.get(key)
        arrays: Mapping[str, Array] = asked.inputs
        if form is None:
            names = check_outputs(self.spec, asked.outputs)
            if asked.class_count is not None:
                names = check_class_count(self.spec, names, asked.class_count)
            arrays = check_inputs(self.spec, asked.inputs, cast=asked.cast)
            form = self._form(arrays, names, asked.class_count or 0)
            if key is not None and all(array is asked.inputs[name] for name, array in arrays.items()):
                self._remember(key, form)
        elif self.spec.reject_nonfinite:
            check_finite(self.spec, arrays)
        data = tuple([encode(arrays[name], datatype) for name, datatype, _ in form.inputs])
        return InferCall(form, data, asked.parameters, asked.request_id)

    def split(self, asked: Asked) -> list[Asked]:
        """Parts of at most ``max_batch_size`` rows each; none where the request needs no splitting.

        Raises:
            InputError: the values do not fit the model, whatever the batch size.
        """
        limit = self.spec.max_batch_size
        arrays = check_inputs(self.spec, asked.inputs, cast=asked.cast, any_batch_size=True)
        rows = next((len(array) for array in arrays.values()), 0) if limit else 0
        if rows <= limit:
            return []
        return [
            replace(asked, inputs={name: array[start : start + limit] for name, array in arrays.items()})
            for start in range(0, rows, limit)
        ]

    def _form(self, arrays: Mapping[str, Array], outputs: tuple[str, ...], class_count: int) -> RequestForm:
        inputs = tuple((name, self.spec.inputs[name].datatype, array.shape) for name, array in arrays.items())
        return RequestForm(self.spec.name, self._version, inputs, outputs, class_count)

    def _remember(self, key: Hashable, form: RequestForm) -> None:
        if len(self._forms) >= _MAX_FORMS:
            self._forms.clear()
        self._forms[key] = form


def _key(asked: Asked) -> Hashable | None:
    """What decides whether a request of plain arrays fits; None where values must be looked at."""
    outputs = asked.outputs
    if outputs is not None and not all(isinstance(name, str) for name in outputs):
        return None
    key: list[Hashable] = [None if outputs is None else tuple(outputs), asked.class_count]
    for name, value in asked.inputs.items():
        if type(value) is not np.ndarray or not value.flags.c_contiguous:
            return None
        key.append((name, value.dtype, value.shape))
    return tuple(key)
