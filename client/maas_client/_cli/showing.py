"""Answers as rows for programs and as a table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from maas_client._cli.asking import Answered, error_text
from maas_client._predict import is_classifier, is_detector
from maas_client._result import InferResult

Row = dict[str, Any]
_MOST_VALUES = 24
"""A table shows no more numbers of one output."""


def rows_of_answer(answered: Answered, model: str) -> list[Row]:
    """A row for each sample of a model that tells labels or errors, or one for all outputs of any other."""
    if answered.result is None:
        return [{"input": answered.item.shown, "error": answered.error, "model": model}]
    tells_of_samples = (
        answered.result.is_text("error") or is_classifier(answered.result) or is_detector(answered.result)
    )
    if answered.is_batch and not tells_of_samples:
        return [_row(answered.item.shown, answered.result)]
    return [_row(name, sample) for name, sample in answered.samples()]


def _row(name: str, result: InferResult) -> Row:
    told = {"model": result.model_name, "version": result.model_version}
    if reason := error_text(result):
        return {"input": name, "error": reason, **told}
    if is_detector(result):
        return {"input": name, "objects": list(objects_of(result)), **told}
    if is_classifier(result):
        if not (result["label"].size and result["score"].size):
            return {"input": name, "error": "the model gave no label", **told}
        label, score = result.text("label").ravel()[0], result["score"].ravel()[0]
        return {"input": name, "label": str(label), "score": float(score), **told}
    return {
        "input": name,
        "outputs": {one: plain(result, one) for one in result if not (one == "error" and result.is_text(one))},
        **told,
    }


def objects_of(result: InferResult) -> Iterator[Row]:
    """What a detector found in one picture: label, score and box (x0, y0, x1, y1 in pixels)."""
    boxes = result["boxes"].reshape(-1, 4).tolist()
    count = int(result["count"].ravel()[0]) if "count" in result else len(boxes)
    found = zip(result.text("label").ravel().tolist(), result["score"].ravel().tolist(), boxes, strict=True)
    for label, score, box in list(found)[:count]:
        yield {"label": label, "score": score, "box": box}


def plain(result: InferResult, name: str) -> Any:
    """One output as JSON has it."""
    array = result[name]
    return (result.text(name) if array.dtype.kind == "O" else array).tolist()


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON as RFC 8259 has it, which knows no NaN and no infinity: these become null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    if any("label" in row for row in rows):
        lines = [("input", "label", "probability"), *map(_label_cells, rows)]
    else:
        lines = [("input", "answer", ""), *((row["input"], _told(row), "") for row in rows)]
    first, second = (max(len(line[column]) for line in lines) for column in range(2))
    return "\n".join(f"{a:{first}}  {b:{second}}  {c}".rstrip() for a, b, c in lines)


def _label_cells(row: Row) -> tuple[str, str, str]:
    if "label" in row:
        return row["input"], row["label"], f"{row['score']:.3f}"
    return row["input"], "-", _told(row)


def _told(row: Row) -> str:
    if "error" in row:
        return str(row["error"])
    if "objects" in row:
        found = [
            f"{one['label']} {one['score']:.2f} [{' '.join(f'{edge:.0f}' for edge in one['box'])}]"
            for one in row["objects"]
        ]
        return ", ".join(found) or "nothing found"
    return told_outputs(row["outputs"])


def told_outputs(outputs: Row) -> str:
    """Outputs in one line: short ones whole, of long ones the beginning."""
    return json.dumps({name: _shortened(values) for name, values in outputs.items()}, ensure_ascii=False)


def _shortened(values: Any) -> Any:
    flat = _flat(values)
    if len(flat) <= _MOST_VALUES:
        return values
    return [*flat[:3], f"... {len(flat)} values"]


def _flat(values: Any) -> list[Any]:
    return [one for value in values for one in _flat(value)] if isinstance(values, list) else [values]
