"""Before `make serve` or `ganserve serve` starts anything: are the settings allowed, is the port free, is there a certificate?"""

import errno
import socket
import ssl
import sys
from pathlib import Path

from service.environment import from_environment
from service.errors import SettingsError
from service.generator.origin.credentials import credentials_of
from service.keys import keyring
from service.machine import instance


def problem(host: str, port: str, certfile: str = "", keyfile: str = "") -> str | None:
    """Why the service can't be started there, in one line; None if it can.

    certfile, keyfile: PEM, for https; without a certfile it is http.
    """
    try:
        settings = from_environment()
        keyring(settings)
        credentials_of(settings.credentials_certificate, settings.credentials_key)
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
            advice = f"Try another port: {int(port) + 1}"
            if error.errno == errno.EADDRINUSE and (order := _reload(host, int(port), bool(certfile))):
                advice = f"If your service there is to read its models again: `{order}`. Else try another port: {int(port) + 1}"
            return f"Can't listen on {host}:{port}: {error.strerror}. {advice}"
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


def _reload(host: str, port: int, https: bool) -> str | None:
    """The order to read changed models, if it is a service of this user's that listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if instance.find(host, port) is None:
        return None
    url = f"http{'s' * https}://{f'[{host}]' if ':' in host else host}:{port}"
    return f"{Path(sys.executable).with_name('ganserve')} admin --url {url} reload"


if __name__ == "__main__":
    if text := problem(*sys.argv[1:5]):
        sys.exit(f"ganserve: {text}")
    scheme = "https" if "".join(sys.argv[3:5]) else "http"
    print(f"Serving on {scheme}://localhost:{sys.argv[2]} (API at /docs). Ctrl-C stops.")
