"""python -m service.drain [URL]: have the service that this user runs on this machine drain and end, as a preStop hook does.

URL: http://127.0.0.1:3000 if it is not given. What it needs and finds by itself: see admin.py.
"""

import os
import sys

from service.admin import DEFAULT_URL, order

if __name__ == "__main__":
    url = (*sys.argv[1:2], DEFAULT_URL)[0]
    try:
        print(order(url, "drain", {}, os.environ.get("GANSERVE_API_KEY", "")))
    except (OSError, ValueError) as error:
        sys.exit(f"ganserve: not drained: {error}")
