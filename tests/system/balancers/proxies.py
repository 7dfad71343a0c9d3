"""Real proxies as their first tutorials set them up, in front of a service on the same machine."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.needs import program
from tests.system.serving import free_port
from tests.waiting import wait_until

_NGINX = """
worker_processes 1; daemon off; pid nginx.pid; error_log stderr; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""
_HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen all
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{to}
"""
_CADDY = """
{{
    admin off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{to}
}}
"""
PROXIES = {
    "nginx": ("nginx-light", _NGINX, ["-p", "{folder}/", "-c", "{file}"]),
    "haproxy": ("haproxy", _HAPROXY, ["-db", "-f", "{file}"]),
    "caddy": ("caddy", _CADDY, ["run", "--config", "{file}", "--adapter", "caddyfile"]),
}


@contextmanager
def proxied(name: str, folder: Path, to: int, locations: str | None = None) -> Iterator[str]:
    """The address of a proxy that passes all on to that port. locations: nginx's own, in the place of one for all."""
    package, text, arguments = PROXIES[name]
    binary, port, file = program(name, package), free_port(), folder / name
    folder.mkdir(exist_ok=True)
    # As root nginx would change to a user who can't enter a test's folder.
    user = "user root;" if os.getuid() == 0 else ""
    locations = locations or f"location / {{ proxy_pass http://127.0.0.1:{to}; }}"
    file.write_text(text.format(port=port, to=to, user=user, locations=locations))
    arguments = [argument.format(folder=folder, file=file) for argument in arguments]
    homes = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    said = folder / f"{name}.log"
    with said.open("wb") as log:
        process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log, env=os.environ | homes)

    def answers() -> bool:
        assert process.poll() is None, said.read_text()
        try:
            return bool(httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code)
        except httpx.TransportError:
            return False

    try:
        wait_until(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
