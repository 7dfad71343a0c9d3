"""What libraries would tell others by themselves, turned off before they are imported. Standard library only.

`service`, `training` and `benchmarks` import this first. A variable that the user has set stays as it is.
"""

import os
import sys

VARIABLES = {
    # onnxruntime 1.31 makes up an id of the device, keeps it in ~/.cache, and sends to
    # mobile.events.data.microsoft.com. Its disable_telemetry_events() comes too late: the import has begun.
    "ORT_DISABLE_TELEMETRY": "1",
    # BentoML tells t.bentoml.com of every start, and again every twelve hours.
    "BENTOML_DO_NOT_TRACK": "true",
}

for name, value in VARIABLES.items():
    os.environ.setdefault(name, value)

# `bentoml serve` has looked at its variable before it imports the service, and remembers what it saw.
if usage := sys.modules.get("bentoml._internal.utils.analytics.usage_stats"):
    usage.do_not_track.cache_clear()

# Importing OpenVINO keeps an id in ~/intel and tells www.google-analytics.com; without this package of its maker's
# it has a stub instead. It has no variable for that.
sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
