"""LitServe with its own batching. Its requests are JSON, so the row travels as base64; the answer is raw bytes.

LitServe reads annotations as objects, so they are not postponed here.
"""

import base64
import sys

import litserve
from fastapi import Request, Response
from session import BATCH_SIZE, WORKERS, Session


class Api(litserve.LitAPI):
    """Decodes, batches, runs."""

    def setup(self, device: str) -> None:
        self._session = Session()

    def decode_request(self, request: Request) -> bytes:
        return base64.b64decode(request["rows"])

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def predict(self, bodies: list[bytes]) -> list[bytes]:
        return self._session.run_batch(bodies)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/octet-stream")


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH_SIZE, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, fast_queue=True, timeout=120)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=WORKERS, log_level="error", generate_client_file=False
    )
