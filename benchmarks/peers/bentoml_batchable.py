"""BentoML as its documentation shows batching: a web service, and a batchable one behind `bentoml.depends`."""

from typing import Literal

import bentoml
import numpy as np
from pydantic import BaseModel, Field
from starlette.responses import Response

from benchmarks.peers.answering import MAX_BATCH, Generator, body, inputs


class Samples(BaseModel):
    label: int = Field(ge=0, le=9)
    n: int = Field(1, ge=1, le=256)
    seed: int = Field(0, ge=0)
    format: Literal["png", "npy"] = "png"


@bentoml.service(name="inference", workers=1, traffic={"timeout": 60})
class Inference:
    def __init__(self) -> None:
        self.generator = Generator()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000)
    def infer(self, rows: np.ndarray) -> np.ndarray:
        """rows: float32 [N, z_dim + 1], the label last: a batchable method takes one argument."""
        return self.generator.forward(np.ascontiguousarray(rows[:, :-1]), rows[:, -1].astype(np.int64))


@bentoml.service(name="web", workers=1, traffic={"timeout": 60})
class Web:
    inference = bentoml.depends(Inference)

    @bentoml.api(route="/v1/samples")
    async def samples(self, request: Samples, /):
        z, label = inputs(request.model_dump())
        rows = np.concatenate([z, label[:, None].astype(np.float32)], axis=1)
        pixels = await self.inference.to_async.infer(rows=rows)
        return Response(body(pixels, request.format))
