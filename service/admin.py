"""python -m service.admin: orders to the service that this user runs on this machine.

python -m service.admin models                                what is wanted, and what each worker serves
python -m service.admin reload                                read the models folder again
python -m service.admin direct MODEL VERSION [--share 0.1]    the requests that name no version, or a share of them
python -m service.admin retire MODEL VERSION                  take a version out of memory
python -m service.admin drain                                 finish what was accepted, and end

--url http://127.0.0.1:3000 says which service; the certificate of https is not looked at. GANSERVE_API_KEY, where it is set,
is a key for admin; without it the token is taken that the service wrote for its user.
"""

import argparse
import http.client
import json
import os
import ssl
import sys
from typing import Any
from urllib.parse import quote, urlsplit

from service.machine import instance

DEFAULT_URL = "http://127.0.0.1:3000"
_ROUTES = "/v1/admin/"
_ANSWER_SECONDS = 10  # beside those that the order itself may take


def order(url: str, route: str, fields: dict[str, Any] | None, api_key: str = "", seconds: float = 0) -> str:
    """What the service answers to an order, or with fields None to a question. route: below /v1/admin/.

    seconds: how long the order may take. Raises OSError if the service does not say yes, ValueError for a url that is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{url}' is no address of a service: it must look like {DEFAULT_URL}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host, secret = parts.hostname, api_key
    if not secret:
        found = instance.find(host, port)
        if found is None:
            raise OSError(
                f"this user runs no service at {url} on this machine; elsewhere GANSERVE_API_KEY is needed"
            )
        host, secret = found[0], instance.token(found[1])
    # No proxy, whatever the environment says.
    timeout = seconds + _ANSWER_SECONDS
    if parts.scheme == "https":
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    body = None if fields is None else json.dumps(fields)
    headers = {"host": parts.netloc, "authorization": f"Bearer {secret}", "content-type": "application/json"}
    try:
        connection.request(
            "GET" if body is None else "POST", f"{parts.path.rstrip('/')}{_ROUTES}{route}", body, headers
        )
        reply = connection.getresponse()
        text = reply.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"no answer that can be read: {error!r}") from error
    finally:
        connection.close()
    if reply.status >= 300:
        raise OSError(f"{reply.status}: {text}")
    return text


def _meant(asked: argparse.Namespace) -> tuple[str, dict[str, Any] | None]:
    """The route of an order and the fields of its body."""
    within = {"timeout": asked.timeout}
    match asked.order:
        case "models":
            return "models", None
        case "drain":
            return "drain", {}
        case "reload":
            return "reload", within
        case "direct":
            return f"models/{quote(asked.model, safe='')}", within | {
                "version": asked.version,
                "share": asked.share,
            }
        case _:
            return f"models/{quote(asked.model, safe='')}/retire", within | {"version": asked.version}


def main(arguments: list[str] | None = None, name: str = "python -m service.admin") -> None:
    """name: how it was called."""
    parser = argparse.ArgumentParser(
        prog=name,
        description=__doc__ and __doc__.replace("python -m service.admin", name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default=DEFAULT_URL)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds that the workers have to do it")
    orders = parser.add_subparsers(dest="order", required=True)
    for name in ("models", "reload", "drain"):
        orders.add_parser(name)
    for name in ("direct", "retire"):
        one = orders.add_parser(name)
        one.add_argument("model")
        one.add_argument("version")
        if name == "direct":
            one.add_argument("--share", type=float, default=1.0)
    asked = parser.parse_args(arguments)
    route, fields = _meant(asked)
    try:
        print(order(asked.url, route, fields, os.environ.get("GANSERVE_API_KEY", ""), asked.timeout))
    except (OSError, ValueError) as error:
        sys.exit(f"ganserve: not done: {error}")


if __name__ == "__main__":
    main()
