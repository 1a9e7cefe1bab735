"""What a story is played on: a service, customers on plans, and the rows of a table that show what happened."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Row:
    """One scene: what somebody did, and what they saw."""

    scene: str
    answer: str


class StoryFailed(Exception):
    """The service answered other than the story expects."""


class Customer:
    """A customer of the product, calling with a user token of its own; what it used is reported by the product, with a service key."""

    def __init__(self, client: httpx.Client, backend: httpx.Client, id: str) -> None:
        self._client = client
        self._backend = backend
        self.id = id

    def post(self, path: str, body: dict[str, Any] | None = None, *, expect: int = 201) -> dict[str, Any]:
        """Raises StoryFailed where the answer has another status."""
        return _checked(self._client.post(path, json=body), expect)

    def report(self, path: str, body: dict[str, Any] | None = None, *, expect: int = 201) -> dict[str, Any]:
        """What the product says of the customer. Raises StoryFailed where the answer has another status."""
        return _checked(self._backend.post(path, json=body, headers={"Tollgate-Customer": self.id}), expect)

    def sell(self, feature: str, quantity: int) -> dict[str, Any]:
        """A top-up. Raises StoryFailed where the answer has another status."""
        body = {"feature": feature, "quantity": quantity, "kind": "paid", "reason": "top-up"}
        return _checked(self._backend.post(f"/customers/{self.id}/grants", json=body), 201)

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """Raises StoryFailed where the answer is no 200."""
        return _checked(self._client.get(path, params=parameters), 200)

    def upload(self, target: dict[str, Any], content: bytes) -> None:
        """Sends the bytes where a signed URL says."""
        _checked(httpx.request(target["method"], target["upload_url"], content=content, headers=target["headers"]), 204)


class Stage:
    """A running service, and the key to set it up."""

    def __init__(self, address: str, admin_key: str, sign: Callable[[str], str]) -> None:
        self._address = address
        self._admin = _client(address, admin_key)
        self._sign = sign

    def customer(self, id: str, plan: str, **details: Any) -> Customer:
        """A customer on this plan, new or put back on it."""
        _checked(self._admin.put(f"/customers/{id}", json={"plan": plan, **details}), 200, 201)
        return Customer(_client(self._address, self._sign(id)), self._admin, id)

    def plan(self, key: str, content: dict[str, Any]) -> None:
        """A plan that the story needs."""
        _checked(self._admin.put(f"/plans/{key}", json=content), 200, 201)


Story = Callable[[Stage], Iterator[Row]]


def refusal(answer: dict[str, Any]) -> str:
    """A refusal in a few words."""
    detail = answer["detail"]
    return f"{detail['error']}: {detail['message']}"


def _client(address: str, credential: str) -> httpx.Client:
    return httpx.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {credential}"}, timeout=30)


def _checked(response: httpx.Response, *expected: int) -> dict[str, Any]:
    if response.status_code not in expected:
        raise StoryFailed(f"{response.request.method} {response.request.url} answered {response.status_code}: {response.text}")
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer
