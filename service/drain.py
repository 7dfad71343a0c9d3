"""python -m service.drain [URL]: have the server on this machine drain and end, as a preStop hook does.

URL: http://127.0.0.1:3000 if it is not given; the certificate of https is not looked at. Where the server has API
keys, one for administration is taken from GANSERVE_API_KEY.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request

DEFAULT_URL = "http://127.0.0.1:3000"
_PATH = "/v1/admin/drain"
_TIMEOUT_SECONDS = 10


def drain(url: str, api_key: str = "") -> str:
    """What the server answers. Raises OSError if it does not say yes."""
    request = urllib.request.Request(url.rstrip("/") + _PATH, b"", method="POST")
    if api_key:
        request.add_header("authorization", f"Bearer {api_key}")
    # No proxy, whatever the environment says: this stays on the machine.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),
    )
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"{error.code}: {error.read().decode(errors='replace')}") from None


if __name__ == "__main__":
    try:
        print(drain(*sys.argv[1:2] or [DEFAULT_URL], api_key=os.environ.get("GANSERVE_API_KEY", "")))
    except (OSError, ValueError) as error:
        sys.exit(f"ganserve: not drained: {error}")
