"""BentoML with its own adaptive batching.

Its front takes JSON only (its binary form is refused there), so rows travel as base64.
"""

import base64

import bentoml
from session import BATCH_SIZE, WORKERS, Session


@bentoml.service(
    workers=WORKERS, traffic={"timeout": 120, "max_concurrency": 1024}, logging={"access": {"enabled": False}}
)
class Served:
    """The service."""

    def __init__(self) -> None:
        self._session = Session()

    @bentoml.api(batchable=True, max_batch_size=BATCH_SIZE, max_latency_ms=60_000)
    def infer(self, rows: list[str]) -> list[str]:
        """One row each."""
        answers = self._session.run_batch([base64.b64decode(row) for row in rows])
        return [base64.b64encode(answer).decode() for answer in answers]
