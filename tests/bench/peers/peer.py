"""What the benchmark must know of a server to measure it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.load_programs.wrk import Post
from bench.models import Array, Model

HTTP = "HTTP"
GRPC = "gRPC"
SHARED_MEMORY = "shared memory"


@dataclass(frozen=True)
class Running:
    """A started server.

    Attributes:
        pid: the process above all its others.
        post: the request that wrk repeats.
        startup_s: from the start of the process to the first answered readiness.
        ask: sends one row over HTTP, returns the answer's row; for stateful models also takes the sequence's id, and
            whether the step is its first and its last.
        ask_grpc: likewise over gRPC, where the server has it.
        grpc_url: host and port, where the server has gRPC.
        served_as: the model's name in the server.
    """

    pid: int
    post: Post
    startup_s: float
    ask: Callable[..., Array]
    ask_grpc: Callable[..., Array] | None = None
    grpc_url: str = ""
    served_as: str = ""


@dataclass(frozen=True)
class Peer:
    """One way to serve a model.

    Attributes:
        name: in the tables.
        wires: what it is measured over.
        start: serves a model for the length of a block.
        computes: False for the stand-ins, whose answers mean nothing.
        stateful: can keep the state of sequences.
    """

    name: str
    wires: tuple[str, ...]
    start: Callable[[Model], AbstractContextManager[Running]]
    computes: bool = True
    stateful: bool = False
