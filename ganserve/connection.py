"""HTTP/1.1 for a load: one connection on bare streams.

httpx takes about as long over a request as a fast server, and would measure itself.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import httpx


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Broken(Exception):
    """The connection could not be made, or ended under a request."""


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
        """The answer to a body. Raises Broken; ValueError for an answer that is no HTTP."""
        fresh = self._streams is None
        if fresh:
            await self.open()
        try:
            return await self._exchange(body)
        except (OSError, EOFError) as error:
            self.close()
            # A server closes idle connections, perhaps just now. Only a connection of this very request is its own fault.
            if fresh or (isinstance(error, asyncio.IncompleteReadError) and error.partial):
                raise Broken(str(error)) from error
            return await self.exchange(body)
        except asyncio.LimitOverrunError:
            self.close()
            raise ValueError("a line of the answer has no end") from None
        except BaseException:  # cancelled, or no HTTP: what else arrives would be the next request's answer
            self.close()
            raise

    async def _exchange(self, body: bytes) -> Answer:
        assert self._streams
        reader, writer = self._streams
        writer.write(self._head + b"%d\r\n\r\n" % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head[:-4].split("\r\n")
        version, _, rest = start.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError("the answer is no HTTP/1")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "content-length" in headers:
            content = await reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            content = await _chunks(reader)
        else:
            content = await reader.read()
            self.close()
        if headers.get("connection", "").lower() == "close" or version == "HTTP/1.0":
            self.close()
        return Answer(int(rest[:3]), headers, content)


@cache  # reading the certificates takes some 20 ms
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        content += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers
        pass
    return content
