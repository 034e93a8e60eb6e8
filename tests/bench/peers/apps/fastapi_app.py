"""FastAPI: raw bytes in and out.

The model runs in the event loop: the fastest of the ways there are for one thread a worker.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from session import Session

app = FastAPI()
session = Session()


@app.post("/infer")
async def infer(request: Request) -> Response:
    """One row."""
    return Response(session.run(await request.body()), media_type="application/octet-stream")
