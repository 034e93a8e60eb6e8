"""Names of a graph's inputs and outputs that no value inside has."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

_RESERVED = "maas:"


def reserved(names: Sequence[str]) -> list[str]:
    """The names under which a graph is exported first: no exporter gives them to anything else.

    torch.onnx.export names inputs and outputs without a look at the values inside, so that a network with an embedding
    and an output ``embedding`` becomes a graph that goes round in a circle.
    """
    return [_RESERVED + name for name in names]


def give_names(model: onnx.ModelProto) -> None:
    """Takes the mark off reserved names; a value inside that has such a name already gets another."""
    marked = {tensor.name for tensor in (*model.graph.input, *model.graph.output)}
    final = {name: name.removeprefix(_RESERVED) for name in marked if name.startswith(_RESERVED)}
    inside = {name: f"{name}.inside" for name in final.values()}
    _rename(model.graph, {**final, **inside})


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for holder in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        holder.name = names.get(holder.name, holder.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename(attribute.g, names)
