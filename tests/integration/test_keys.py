"""Service keys over HTTP: created, listed, used, rotated, expired and revoked."""

import time
from datetime import datetime, timedelta

import pytest

from api.container import utc_now
from tests.integration.service import Service, new_id, refused, tollgate, until


def soon(seconds: float) -> str:
    return (utc_now() + timedelta(seconds=seconds)).isoformat()


def test_a_key_is_created_listed_used_and_revoked(service: Service) -> None:
    name = new_id("key")
    created = service.admin.post("/api/v1/keys", json={"scope": "read", "name": name})
    assert created.status_code == 201
    key = created.json()
    assert (key["scope"], key["name"], key["expires_at"], key["revoked_at"]) == ("read", name, None, None)
    client = service.key(key["key"])
    assert client.get("/api/v1/plans").status_code == 200
    refused(client.post("/api/v1/keys", json={"scope": "read"}), 403, "forbidden")
    refused(client.get("/api/v1/keys"), 403, "forbidden")
    (listed,) = [item for item in service.admin.get("/api/v1/keys").json()["items"] if item["id"] == key["id"]]
    assert "key" not in listed
    assert service.admin.delete(f"/api/v1/keys/{key['id']}").status_code == 204
    assert service.admin.delete(f"/api/v1/keys/{key['id']}").status_code == 204
    refused(client.get("/api/v1/plans"), 401, "unauthenticated")


def test_a_key_ends_by_itself(service: Service) -> None:
    key = service.admin.post("/api/v1/keys", json={"scope": "read", "expires_at": soon(1.5)}).json()
    client = service.key(key["key"])
    assert client.get("/api/v1/plans").status_code == 200
    until(lambda: client.get("/api/v1/plans").status_code == 401, 30, "the key to end")
    assert utc_now() >= datetime.fromisoformat(key["expires_at"])


def test_a_rotated_key_works_beside_its_successor_for_the_grace(service: Service) -> None:
    old = service.admin.post("/api/v1/keys", json={"scope": "write", "name": "worker"}).json()
    new = service.admin.post(f"/api/v1/keys/{old['id']}/rotate", json={"grace_seconds": 2})
    assert (new.status_code, new.json()["scope"], new.json()["name"]) == (201, "write", "worker")
    assert service.key(new.json()["key"]).get("/api/v1/plans").status_code == 200
    assert service.key(old["key"]).get("/api/v1/plans").status_code == 200
    until(lambda: service.key(old["key"]).get("/api/v1/plans").status_code == 401, 30, "the old key to end")
    assert service.key(new.json()["key"]).get("/api/v1/plans").status_code == 200
    refused(service.admin.post(f"/api/v1/keys/{old['id']}/rotate", json={}), 404, "service_key_not_found")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"scope": "read", "expires_at": "2020-01-01T00:00:00Z"}, "invalid_expiry"),
        ({"scope": "read", "name": "bootstrap"}, "invalid_key_name"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(service: Service, body: dict[str, str], error: str) -> None:
    refused(service.admin.post("/api/v1/keys", json=body), 422, error)


@pytest.mark.parametrize("id", ["018f0000-0000-7000-8000-000000000000", "no-id"])
def test_a_key_that_is_not_there_is_not_found(service: Service, id: str) -> None:
    refused(service.admin.delete(f"/api/v1/keys/{id}"), 404, "service_key_not_found")


def test_the_last_use_is_written_when_the_process_ends_at_the_latest(database_url: str) -> None:
    with Service(database_url) as service:
        key = service.admin.post("/api/v1/keys", json={"scope": "read"}).json()
        before = utc_now()
        service.key(key["key"]).get("/api/v1/plans").raise_for_status()
    used = service.database.value("SELECT last_used_at FROM service_key")
    assert before - timedelta(seconds=1) <= used <= utc_now()


def test_a_key_is_rotated_on_the_command_line(service: Service) -> None:
    arguments = {"database_url": service.database.url}
    created = tollgate("keys", "create", "--scope", "read", "--expires-in-days", 9, **arguments)
    text = created.stdout.strip()
    id = text.split("_")[1]
    rotated = tollgate("keys", "rotate", id, "--grace-seconds", 0, **arguments)
    assert rotated.returncode == 0, rotated.stderr
    time.sleep(0.01)
    assert service.key(text).get("/api/v1/plans").status_code == 401
    assert service.key(rotated.stdout.strip()).get("/api/v1/plans").status_code == 200
    assert tollgate("keys", "rotate", id, **arguments).returncode == 1


@pytest.mark.parametrize("rotates", [False, True])
def test_a_repeat_creates_no_second_key_and_shows_none_again(service: Service, rotates: bool) -> None:
    known = service.admin.post("/api/v1/keys", json={"scope": "read"}).json()["id"]
    path, body = (f"/api/v1/keys/{known}/rotate", {"grace_seconds": 60}) if rotates else ("/api/v1/keys", {"scope": "read"})
    headers = {"Idempotency-Key": new_id()}
    assert service.admin.post(path, json=body, headers=headers).status_code == 201
    before = len(service.admin.get("/api/v1/keys").json()["items"])
    refused(service.admin.post(path, json=body, headers=headers), 409, "key_not_shown_again")
    assert len(service.admin.get("/api/v1/keys").json()["items"]) == before
    refused(service.admin.post("/api/v1/keys", json={"scope": "admin"}, headers=headers), 422, "idempotency_key_reused")


def test_two_keys_of_one_name_do_not_get_each_others_answers(service: Service) -> None:
    """Of requests that concern no single customer: whoever asks is part of the key."""
    customer, name = new_id(), new_id("team")
    service.admin.put(f"/api/v1/customers/{customer}", json={"plan": "pro"}).raise_for_status()
    made = [service.admin.post("/api/v1/keys", json={"scope": "admin", "name": name}).json() for _ in range(2)]
    one, other = (service.key(key["key"]) for key in made)
    headers = {"Idempotency-Key": new_id()}
    event = {"specversion": "1.0", "source": name, "type": "sessions", "subject": customer}
    events = "/api/v1/events"
    assert one.post(events, json=[{**event, "id": "1"}], headers=headers).json()["accepted"] == 1
    answer = other.post(events, json=[{**event, "id": "2"}], headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1), answer.text
    assert "Idempotency-Replayed" not in answer.headers
    assert one.post(events, json=[{**event, "id": "1"}], headers=headers).headers["Idempotency-Replayed"] == "true"
    for path, body in (("/api/v1/keys", {"scope": "read"}), (f"/api/v1/customers/{customer}/portal-sessions", {"ttl_seconds": 60})):
        headers = {"Idempotency-Key": new_id()}
        assert [client.post(path, json=body, headers=headers).status_code for client in (one, other, one)] == [201, 201, 409], path
    headers = {"Idempotency-Key": new_id()}
    batches = [{"items": [{"customer_id": id, "usage": [{"feature": "sessions", "quantity": 1}]}]} for id in (customer, new_id())]
    sent = [client.post("/api/v1/usage/batch", json=batch, headers=headers) for client, batch in zip((one, other), batches, strict=True)]
    assert [answer.status_code for answer in sent] == [200, 200]
    refused(one.post("/api/v1/usage/batch", json=batches[1], headers=headers), 422, "idempotency_key_reused")
