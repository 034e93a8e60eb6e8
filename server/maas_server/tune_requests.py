"""The requests that tuning sends: a bundle's golden inputs, one sample each, as bodies of Triton's binary protocol.

Source of the protocol: Triton's ``docs/protocol/extension_binary_data.md``: a JSON header, then the tensors' bytes in
the order of the header; ``Inference-Header-Content-Length`` is the length of the JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.utils import serialize_byte_tensor

from maas_core.dtypes import datatype_of_config
from maas_core.errors import WrongUse
from maas_core.golden import GOLDEN_FILE, Array, Sample, load_golden


def write_requests(bundle: Path, config: Any, target: Path) -> None:
    """Writes the bodies that :mod:`maas_server.tune_load` sends in turn.

    Raises:
        NotHeld: where the golden samples are missing or damaged.
        WrongUse: where they hold no request of one sample.
    """
    samples = [sample for sample in load_golden(bundle / GOLDEN_FILE) if _is_single(sample, config)]
    if not samples:
        raise WrongUse(f"{bundle / GOLDEN_FILE} holds no request of one sample", "export the model again")
    datatypes = {entry.name: datatype_of_config(_type_name(entry)) for entry in config.input}
    bodies = [_body(sample, datatypes) for sample in samples]
    lines = [json.dumps({"header": length, "body": base64.b64encode(body).decode()}) for length, body in bodies]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _is_single(sample: Sample, config: Any) -> bool:
    return config.max_batch_size == 0 or all(len(array) == 1 for array in sample.inputs.values())


def _type_name(entry: Any) -> str:
    return str(entry.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[entry.data_type].name)


def _body(sample: Sample, datatypes: dict[str, str]) -> tuple[int, bytes]:
    parts = {name: _to_bytes(array) for name, array in sample.inputs.items()}
    inputs: Sequence[dict[str, Any]] = [
        {
            "name": name,
            "shape": list(sample.inputs[name].shape),
            "datatype": datatypes[name],
            "parameters": {"binary_data_size": len(data)},
        }
        for name, data in parts.items()
    ]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return len(header), header + b"".join(parts.values())


def _to_bytes(array: Array) -> bytes:
    if array.dtype != np.object_:
        return array.tobytes()
    serialized = serialize_byte_tensor(array)
    return bytes(serialized.item()) if serialized.size else b""
