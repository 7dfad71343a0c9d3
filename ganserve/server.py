"""One request to a server and its answer: address, key, patience."""

import os
import random
import re
import time
from collections.abc import Callable, Generator
from typing import Any

import httpx

from ganserve.errors import Refused, Unreachable, one_line, refusal

DEFAULT_URL = "http://localhost:3000"


class Server:
    """Where requests go; threads may share it. Client's docstring says what the arguments are."""

    def __init__(
        self,
        url: str | None,
        api_key: str | None,
        timeout: float,
        connections: int,
        on_wait: Callable[[float, Refused], None] | None,
        transport: httpx.BaseTransport | None,
    ) -> None:
        if not 0 < timeout <= 86_400:
            raise ValueError(f"timeout is {timeout:g}: it must be seconds above 0, and a day at most.")
        self.url = server_url(url or os.environ.get("GANSERVE_URL") or DEFAULT_URL)
        self.headers = _headers(api_key or os.environ.get("GANSERVE_API_KEY"))
        self.timeout = timeout
        self._on_wait = on_wait
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections)
        self._http = httpx.Client(base_url=self.url, headers=self.headers, limits=limits, transport=transport)

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A 2xx answer. Asks again after 429 and 503, as long as the timeout allows; once after a broken connection.

        Raises Unreachable, Refused.
        """
        end = time.monotonic() + self.timeout
        may_break = True
        while True:
            left = max(0.001, end - time.monotonic())
            try:
                response = self._http.request(method, path, timeout=left, **options)
            except httpx.TimeoutException as error:
                what = "no connection" if isinstance(error, httpx.ConnectTimeout) else "no answer"
                raise Unreachable(f"{self.url}: {what} within {self.timeout:g} seconds.") from None
            except httpx.HTTPError as error:
                # The server may close an idle connection just as it is used again; a sample changes nothing there.
                if may_break and isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
                    may_break = False
                    continue
                reason = re.sub(r"^\[Errno -?\d+\] ", "", one_line(str(error))) or type(error).__name__
                raise Unreachable(f"{self.url} can't be reached: {reason.rstrip('.')}.") from None
            if response.is_success:
                return response
            error = refusal(response.status_code, response.headers, response.content)
            if error.retry_after_seconds is None:
                raise error
            # Not all of those that were refused together come back together.
            pause = error.retry_after_seconds * (1 + 0.1 * random.random())
            if time.monotonic() + pause >= end:
                raise error
            if self._on_wait:
                self._on_wait(pause, error)
            time.sleep(pause)

    def lines(self, path: str, fields: dict[str, Any]) -> Generator[str, None, None]:
        """The lines of a long answer to a JSON body, as they come; `timeout` is from one to the next.

        Raises Unreachable, also where it breaks off in the middle; Refused.
        """
        try:
            with self._http.stream("POST", path, json=fields, timeout=self.timeout) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response.status_code, response.headers, response.content)
                yield from response.iter_lines()
        except httpx.HTTPError as error:
            raise Unreachable(
                f"{self.url}: the answer broke off: {one_line(str(error)) or type(error).__name__}."
            ) from None


def server_url(text: str) -> httpx.URL:
    """`localhost:3000` or a whole address. Raises ValueError."""
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL as error:
        raise ValueError(f"'{text}' is no address: {error}.") from None
    if (
        url.scheme not in ("http", "https")
        or not url.host
        or "%" in url.host
        or url.query
        or url.fragment
        or url.userinfo
    ):
        raise ValueError(f"'{text}' is no address of a server: it must look like {DEFAULT_URL}.")
    return url


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"user-agent": "ganserve-client"}
    if api_key:
        if not api_key.isascii() or not api_key.isprintable():
            raise ValueError("The API key has a character that no header can carry.")
        headers["authorization"] = f"Bearer {api_key}"
    return headers
