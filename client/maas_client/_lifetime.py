"""Whether a client was closed: what its parts share, so that none of them holds the client itself."""

from __future__ import annotations

from maas_client.errors import ClientClosedError


class Lifetime:
    """Of one client.

    Args:
        endpoint: told when it was closed.
    """

    __slots__ = ("_endpoint", "is_over")

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.is_over = False

    def check(self) -> None:
        """Does nothing while the client is open.

        Raises:
            ClientClosedError: it was closed.
        """
        if self.is_over:
            raise ClientClosedError("this client is closed; make a new one", endpoint=self._endpoint)
