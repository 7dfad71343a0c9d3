"""FastAPI without batching: one forward pass a request, on the thread pool."""

from typing import Literal

from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

from benchmarks.peers.answering import Generator

app = FastAPI()
generator = Generator()


class Samples(BaseModel):
    label: int = Field(ge=0, le=9)
    n: int = Field(1, ge=1, le=256)
    seed: int = Field(0, ge=0)
    format: Literal["png", "npy"] = "png"


@app.post("/v1/samples")
def samples(request: Samples) -> Response:
    return Response(generator.answer([request.model_dump()])[0])
