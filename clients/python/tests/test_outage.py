"""While the service is out of reach, the operator's choice holds."""

import httpx
import pytest
from tests_support.fake_service import FakeService
from tollgate_client import Unavailable

DOWN = [httpx.ConnectError("down") for _ in range(10_000)]


def test_by_default_it_refuses(service: FakeService) -> None:
    service.failures = list(DOWN)
    with service.client(timeout=0.1) as client:
        with pytest.raises(Unavailable):
            client.consume("acme", api_calls=1)
        service.failures = []
    assert service.used == {}


@pytest.mark.parametrize("batching", [True, False])
def test_what_was_admitted_is_booked_when_the_service_is_back(service: FakeService, batching: bool) -> None:
    with service.client(timeout=0.1, batching=batching) as client:
        service.failures = list(DOWN)
        admitted = client.consume("acme", api_calls=3, on_outage="admit")
        assert admitted.degraded
        service.failures = []
        assert not client.consume("acme", api_calls=1).degraded
        assert service.used == {"api_calls": 4}


def test_at_the_latest_when_the_client_is_closed(service: FakeService) -> None:
    with service.client(timeout=0.1, on_outage="admit") as client:
        service.failures = list(DOWN)
        client.consume("acme", api_calls=3)
        service.failures = []
    assert service.used == {"api_calls": 3}


def test_it_is_admitted_as_far_as_the_last_known_balance_reaches(service: FakeService) -> None:
    with service.client(timeout=0.05, on_outage="admit") as client:
        client.consume("acme", api_calls=97)
        service.failures = list(DOWN)
        client.consume("acme", api_calls=2)
        with pytest.raises(Unavailable):
            client.consume("acme", api_calls=2)
        client.consume("acme", api_calls=1)
        service.failures = []
    assert service.used == {"api_calls": 100}


def test_an_answer_that_was_lost_is_not_booked_twice(service: FakeService) -> None:
    with service.client(timeout=0.1, on_outage="admit") as client:
        service.after = [httpx.ReadTimeout("lost")]
        service.failures = []
        original = service.answer

        def lost_then_down(request: httpx.Request) -> httpx.Response:
            answered = original(request) if not service.requests else None
            raise httpx.ReadTimeout("lost") if answered is None else httpx.ReadTimeout("lost too")

        client._http._transport.handler = lost_then_down  # type: ignore[attr-defined]
        assert client.consume("acme", api_calls=3).degraded
        client._http._transport.handler = original  # type: ignore[attr-defined]
    assert service.used == {"api_calls": 3}
