"""What a user of Locust would write: each user sends so many requests per second, and waits for each answer."""

import os

from locust import FastHttpUser, constant_throughput, task

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0.0, 1.0, 2.0, 3.0]}]}


class Caller(FastHttpUser):
    wait_time = constant_throughput(float(os.environ["THROUGHPUT"]))

    @task
    def infer(self) -> None:
        self.client.post("/v2/models/stub/infer", json=BODY)
