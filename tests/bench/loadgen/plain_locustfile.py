"""What a user of Locust would write: each user sends so many requests per second, and waits for each answer."""

from argparse import Namespace
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0.0, 1.0, 2.0, 3.0]}]}


@events.init_command_line_parser.add_listener
def add_option(parser: Any) -> None:
    parser.add_argument("--throughput", type=float, default=10.0)


@events.test_start.add_listener
def take_option(environment: Any, **_: Any) -> None:
    options: Namespace = environment.parsed_options
    # Locust calls it with the user.
    Caller.wait_time = constant_throughput(options.throughput)


class Caller(FastHttpUser):  # type: ignore[misc]  # Locust has no types
    wait_time = constant_throughput(10.0)

    @task
    def infer(self) -> None:
        self.client.post("/v2/models/stub/infer", json=BODY)
