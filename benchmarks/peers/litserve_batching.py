"""LitServe: batches of waiting requests; the PNG is written in its worker, not in its web server."""

import litserve
import numpy as np
from fastapi import Response

from benchmarks.peers.answering import MAX_BATCH, PORT, Generator, body, inputs


class Sampler(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.generator = Generator()

    def decode_request(self, request):  # without a type, LitServe passes the JSON on as it is
        return *inputs(request), request["format"]

    def batch(self, inputs: list):
        z, label, formats = zip(*inputs, strict=True)
        return np.concatenate(z), np.concatenate(label), [len(rows) for rows in z], list(formats)

    def predict(self, x):
        z, label, counts, formats = x
        return self.generator.forward(z, label), counts, formats

    def unbatch(self, output):
        pixels, counts, formats = output
        return list(zip(np.split(pixels, np.cumsum(counts)[:-1]), formats, strict=True))

    def encode_response(self, output) -> Response:
        pixels, format = output
        return Response(body(pixels, format))


if __name__ == "__main__":
    api = Sampler(api_path="/v1/samples", max_batch_size=MAX_BATCH, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True, timeout=60)
    server.run(
        host="127.0.0.1",
        port=PORT,
        num_api_servers=1,
        log_level="error",
        access_log=False,
        generate_client_file=False,
    )
