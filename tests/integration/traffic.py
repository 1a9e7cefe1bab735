"""Callers that go on whatever happens, and remember what they were told."""

import threading
from collections import Counter

import httpx

from tests.integration.coaching import Customer
from tests.integration.service import until

UNLIMITED = {
    "name": "Unlimited",
    "entitlements": {"sessions": {"type": "metered", "limit": None}, "minutes": {"type": "metered", "limit": None}},
}


class Traffic:
    """Creates sessions all the time, and keeps all the answers."""

    def __init__(self, customer: Customer, threads: int = 4) -> None:
        self.customer = customer
        self.answers: list[httpx.Response] = []
        self.statuses: Counter[int] = Counter()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(threads)]

    def _send(self) -> None:
        while not self._end.is_set():
            response = self.customer.create()
            self.answers.append(response)
            self.statuses[response.status_code] += 1

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def until(self, status: int, more: int = 20) -> None:
        enough = self.statuses[status] + more
        until(lambda: self.statuses[status] >= enough, expected=f"{more} more answers with {status}, got {self.statuses}")

    def is_right(self) -> None:
        """Every answer is yes or come back later, and every yes was booked, and nothing else but what nobody can know."""
        refusals = [response.json()["detail"] for response in self.answers if response.status_code == 503]
        assert set(self.statuses) <= {201, 503}
        assert {detail["error"] for detail in refusals} <= {"storage_unavailable", "overloaded"}
        unknown = sum(detail.get("outcome") == "unknown" for detail in refusals)
        answered = {response.json()["id"] for response in self.answers if response.status_code == 201}
        rows = self.customer.service.database.rows("SELECT id FROM coaching_session WHERE customer_id = $1", self.customer.id)
        stored = {str(row["id"]) for row in rows}
        assert answered <= stored
        assert len(stored) <= len(answered) + unknown
        assert self.customer.used("sessions") == len(stored)
