"""Callers that ask without a pause while something happens to the servers behind the gateway."""

from __future__ import annotations

import threading
import time
from collections import Counter

from tests.gateway.running import Caller, Gateway, GrpcCaller, HttpCaller, Reply


class Pressure:
    """Asks over both protocols while the block runs, each caller over one connection.

    Attributes:
        callers: how many ask at a time.
        bad: every reply that was not good, and how a connection ended that should not.
        versions: good replies by the version that answered.
    """

    callers = 4

    def __init__(self, gateway: Gateway) -> None:
        self.bad: list[Reply | str] = []
        self.versions: Counter[str] = Counter()
        self._gateway = gateway
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(self.callers)]

    def __enter__(self) -> Pressure:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        caller: Caller = GrpcCaller(self._gateway.grpc) if number % 2 else HttpCaller(self._gateway.url)
        asked = 0
        while not self._stop.is_set():
            asked += 1
            try:
                reply = caller.infer(headers={"x-caller-id": f"{number}-{asked}"})
            except OSError as error:
                self.bad.append(repr(error))
                return
            if reply.is_good:
                self.versions[reply.version] += 1
            else:
                self.bad.append(reply)
            time.sleep(0.002)
        caller.close()
