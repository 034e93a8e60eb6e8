"""Whether a process that calls for long grows: run as ``python -m bench.client.memory CALLS GRPC_URL HTTP_URL``."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import click
import numpy as np

from bench.client.servers import SMALL
from maas_client import Client

_WARMUP_CALLS = 5_000
_CHECKPOINTS = 20
_PAGE_BYTES = resource.getpagesize()


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def main(calls: int, grpc_url: str, http_url: str) -> None:
    """Calls by turns over gRPC and HTTP; prints the resident memory after the warm-up and at 20 points after it."""
    row = np.random.default_rng(7).random((1, SMALL.values), np.float32)
    with Client(f"grpc://{grpc_url}") as over_grpc, Client(f"http://{http_url}") as over_http:

        def call(count: int) -> None:
            for number in range(count):
                (over_http if number % 2 else over_grpc).infer(SMALL.name, x=row)

        call(_WARMUP_CALLS)
        sizes = [_rss_bytes()]
        for _ in range(_CHECKPOINTS):
            call(calls // _CHECKPOINTS)
            sizes.append(_rss_bytes())
    click.echo(json.dumps(sizes))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
