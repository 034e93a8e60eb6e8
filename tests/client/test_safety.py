"""One client from many threads and tasks, after a fork, inside a running event loop, under gevent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from maas_client import AsyncClient, Client

AFTER_FORK = """
import os, socket, sys
from maas_client import Client
connect, made = socket.create_connection, []
socket.create_connection = lambda *where: made.append(where) or connect(*where)
client = Client(sys.argv[1], timeout_s=20)
ask = lambda number: client.infer("small", x=[[[number, 0, 0]]])["y"].ravel()[0] == number
assert ask(1)
child = os.fork()
if child == 0:
    answers = [ask(number) for number in range(1000, 1100)]
    # The parent's sockets are not the child's to use, though they are open here too.
    own = len(made) == 2 or sys.argv[1].startswith("grpc")
    os._exit(0 if all(answers) and own else 1)
answers = [ask(number) for number in range(100)]
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), all(answers))
"""

UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent, sys
from maas_client import Client
client = Client(sys.argv[1].replace("127.0.0.1", "localhost"), timeout_s=20)
ticks = 0
def tick():
    global ticks
    while True:
        gevent.sleep(0)
        ticks += 1
ticker = gevent.spawn(tick)
def ask(number):
    return client.infer("small", x=[[[number, 0, 0]]])["y"].ravel()[0] == number
tasks = [gevent.spawn(ask, number) for number in range(8)]
gevent.joinall(tasks, timeout=20)
before = ticks
for answer in client.stream("counter", n=-1):  # 10 ms between two answers
    if answer["i"].item() == 5:
        break
print(all(task.value for task in tasks), ticks > before)
"""


def _row(number: int) -> Any:
    return np.full((1, 1, 3), number, np.float32)


def test_many_threads_get_each_their_own_answer(client: Any) -> None:
    def ask(number: int) -> bool:
        return bool((client.infer("small", x=_row(number))["y"] == number).all())

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))


def _run(script: str, url: str) -> str:
    run = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_client_lives_on_on_both_sides_of_a_fork(urls: dict[str, str], protocol: str) -> None:
    assert _run(AFTER_FORK, urls[protocol]) == "0 True"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_greenlets_run_on_while_others_wait(urls: dict[str, str], protocol: str) -> None:
    pytest.importorskip("gevent")
    assert _run(UNDER_GEVENT, urls[protocol]) == "True True"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_synchronous_client_works_inside_a_running_loop(urls: dict[str, str], protocol: str) -> None:
    async def cell_of_a_notebook() -> Any:
        with Client(urls[protocol]) as client:
            return client.infer("small", x=_row(7))["y"]

    assert (asyncio.run(cell_of_a_notebook()) == 7).all()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_asynchronous_client_serves_one_loop_after_another(urls: dict[str, str], protocol: str) -> None:
    client = AsyncClient(urls[protocol])

    async def ask(number: int) -> bool:
        answer = await client.infer("small", x=_row(number))
        return bool((answer["y"] == number).all())

    async def many() -> list[bool]:
        return await asyncio.gather(*map(ask, range(50)))

    async def last() -> bool:
        async with client:
            return await ask(1)

    assert all(asyncio.run(many()))
    assert all(asyncio.run(many()))
    assert asyncio.run(last())


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_cancelled_task_leaves_the_client_usable(urls: dict[str, str], protocol: str) -> None:
    async def run() -> Any:
        async with AsyncClient(urls[protocol]) as client:
            await client.describe("small")
            tasks = [asyncio.create_task(client.infer("small", x=_row(number))) for number in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            return [isinstance(one, asyncio.CancelledError) for one in done[::2]], done[1::2]

    cancelled, answered = asyncio.run(run())
    assert all(cancelled)
    assert [answer["y"].ravel()[0] for answer in answered] == list(range(1, 20, 2))
