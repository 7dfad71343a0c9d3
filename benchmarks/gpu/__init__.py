"""What a machine with an NVIDIA GPU gives: `python -m benchmarks.gpu`, from a checkout, with onnx, onnxruntime-gpu, numpy and pillow.

Where more is installed, more is measured: PyTorch beside it, and the service itself.
"""

import sys
from importlib.util import find_spec

if find_spec("msgspec") is None:
    from benchmarks.gpu import standin

    sys.modules["msgspec"] = standin  # before anything of service/ is imported
