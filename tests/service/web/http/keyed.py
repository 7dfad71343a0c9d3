"""Keys of every scope, and requests with them."""

from service.keys import Keyring, keyring
from service.settings import Settings

KEYS = {
    "drawer": "sample",
    "watcher": "metrics",
    "keeper": "admin",
    "all": "sample+metrics+admin",
}
SECRET = {name: f"{name}-0123456789abcdef" for name in KEYS}
NATIVE = frozenset({"/sample"})


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {SECRET[name]}"}


def ring() -> Keyring:
    found = keyring(Settings(api_keys=",".join(f"{name}:{SECRET[name]}:{KEYS[name]}" for name in KEYS)))
    assert found
    return found
