"""HTTP/1.1 for a load: one connection, and httptools, which parses in C.

A client library would measure itself: with 64 connections aiohttp takes more than twice as much of a core for a
request, httpx a hundred times.
"""

import asyncio
from collections.abc import Mapping
from functools import cache

import httptools
import httpx

_READ_BYTES = 2**18
_trusted = cache(httpx.create_ssl_context)  # reading the certificates takes some 20 ms


class Broken(Exception):
    """The connection could not be made, or ended before the answer did."""


class NotHttp(Exception):
    """The answer is no HTTP/1."""


class Answer:
    """What the parser has told of an answer so far; names of headers in lower case."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.is_complete = True


class Connection:
    """Sends one request after another to one path, each as soon as it is told to."""

    def __init__(self, url: httpx.URL, path: str, headers: Mapping[str, str]) -> None:
        self._host = url.host
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._ssl = _trusted() if url.scheme == "https" else None
        lines = [
            f"POST {url.raw_path.decode().rstrip('/')}{path} HTTP/1.1",
            f"host: {url.netloc.decode()}",
            "content-type: application/json",
            *(f"{name}: {value}" for name, value in headers.items()),
            "content-length: ",
        ]
        self._head = "\r\n".join(lines).encode("latin-1")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Raises Broken."""
        try:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._ssl)
        except OSError as error:
            raise Broken(str(error)) from error

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def exchange(self, body: bytes) -> Answer:
        """The answer to a body. Raises Broken; NotHttp."""
        fresh = self._streams is None
        if fresh:
            await self.open()
        try:
            return await self._exchange(body)
        except (OSError, EOFError) as error:
            self.close()
            # A server closes idle connections, perhaps just now; one that was made for this request it need not.
            if fresh:
                raise Broken(str(error)) from error
            return await self.exchange(body)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.close()
            raise NotHttp(str(error)) from error
        except asyncio.CancelledError:  # what arrives later would be taken for the next request's answer
            self.close()
            raise

    async def _exchange(self, body: bytes) -> Answer:
        assert self._streams
        reader, writer = self._streams
        writer.write(self._head + b"%d\r\n\r\n" % len(body) + body)
        answer = Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.is_complete:
            part = await reader.read(_READ_BYTES)
            if not part:
                raise EOFError("the connection ended before the answer did")
            parser.feed_data(part)
        answer.status = parser.get_status_code()
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer
