"""Before `make serve` starts anything: are the settings allowed, is the port free?"""

import socket
import sys

from service.errors import SettingsError
from service.keys import keyring
from service.settings import from_environment


def problem(host: str, port: str) -> str | None:
    """Why the service can't be started there, in one line; None if it can."""
    try:
        settings = from_environment()
        keyring(settings)
    except SettingsError as error:
        return str(error)
    if not port.isdigit() or not 0 < int(port) < 65536:
        return f"PORT is '{port}': it must be a number from 1 to 65535."
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            return f"Can't listen on {host}:{port}: {error.strerror}. Try another port: make serve PORT={int(port) + 1}"
    names = [f"{settings.models}"] if settings.models.is_dir() else []
    if not names:
        return f"GANSERVE_MODELS is {settings.models}: there is no such folder."
    return None


if __name__ == "__main__":
    if text := problem(*sys.argv[1:3]):
        sys.exit(f"ganserve: {text}")
    print(f"Serving on http://localhost:{sys.argv[2]} (API at /docs). Ctrl-C stops.")
