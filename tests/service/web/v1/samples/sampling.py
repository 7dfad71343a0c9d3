"""Images out of replies."""

import io

import httpx
import numpy as np


def array(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)
