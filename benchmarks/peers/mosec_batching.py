"""mosec: a front in Rust, workers in Python behind Unix sockets, batches of waiting requests."""

import json
import os

from mosec import Runtime, Server, Worker

from benchmarks.peers.answering import MAX_BATCH, WORKERS, Generator, Request


class Sampler(Worker):
    def __init__(self) -> None:
        self.generator = Generator()

    def deserialize(self, data: bytes) -> Request:
        return json.loads(data)

    def forward(self, data: list[Request] | Request) -> list[bytes]:
        return self.generator.answer(data if isinstance(data, list) else [data])

    def serialize(self, data: bytes) -> bytes:
        return data


if __name__ == "__main__":
    server = Server()
    wait_ms = int(os.environ["BENCH_WAIT_MS"])
    runtime = Runtime(Sampler, num=WORKERS, max_batch_size=MAX_BATCH, max_wait_time=wait_ms, timeout=60)
    server.register_runtime({"/v1/samples": [runtime]})
    server.run()
