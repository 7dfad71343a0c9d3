"""Before `make serve` or `ganserve serve` starts anything: are the settings allowed, is the port free, is there a certificate?"""

import socket
import ssl
import sys

from service.errors import SettingsError
from service.keys import keyring
from service.settings import from_environment


def problem(host: str, port: str, certfile: str = "", keyfile: str = "") -> str | None:
    """Why the service can't be started there, in one line; None if it can.

    certfile, keyfile: PEM, for https; without a certfile it is http.
    """
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
            return f"Can't listen on {host}:{port}: {error.strerror}. Try another port: {int(port) + 1}"
    if certfile or keyfile:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # A password would be asked for here, and in every worker again.
            context.load_cert_chain(certfile, keyfile or None, password="")
        except OSError as error:
            files = f"SSL_CERTFILE is '{certfile}' and SSL_KEYFILE '{keyfile}'"
            return f"{files}: they must be a PEM certificate and its key without a password ({error})."
    names = [f"{settings.models}"] if settings.models.is_dir() else []
    if not names:
        return f"GANSERVE_MODELS is {settings.models}: there is no such folder."
    return None


if __name__ == "__main__":
    if text := problem(*sys.argv[1:5]):
        sys.exit(f"ganserve: {text}")
    scheme = "https" if "".join(sys.argv[3:5]) else "http"
    print(f"Serving on {scheme}://localhost:{sys.argv[2]} (API at /docs). Ctrl-C stops.")
