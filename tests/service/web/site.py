"""The HTTP front, asked in process: no socket, no BentoML."""

import asyncio
from typing import Any

import httpx

from service.keys import Keyring
from service.registry.models import Models
from service.web.front import Front
from service.web.http.asgi import AsgiApp, Receive, Scope, Send


async def no_bento(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where BentoML's own app would."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"bento"})


class Site:
    """One request a call; `client` for more at once."""

    def __init__(
        self,
        models: Models,
        bento_app: AsgiApp = no_bento,
        native: frozenset[str] = frozenset(),
        keyring: Keyring | None = None,
        token: str | None = None,
    ) -> None:
        self.front = Front(models, bento_app, native, keyring, token)

    def client(self) -> httpx.AsyncClient:
        # trust_env: a client that looks for proxies makes a TLS context, which takes 50 ms.
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.front), base_url="http://site", trust_env=False
        )

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def samples(self, **fields: Any) -> httpx.Response:
        return self.ask("POST", "/v1/samples", json=fields)

    def post(self, body: bytes, content_type: str | None = "application/json") -> httpx.Response:
        headers = {} if content_type is None else {"content-type": content_type}
        return self.ask("POST", "/v1/samples", content=body, headers=headers)


def refused(response: httpx.Response, status: int, code: str, field: str | None = None) -> str:
    """Asserts that a reply is this problem, in the shape of RFC 9457; returns its detail."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem.get("field") == field, problem
    assert problem["type"] == f"/docs#{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem["detail"]
