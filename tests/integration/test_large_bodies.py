"""A body may be large, and may be nothing but mistakes: it holds up nobody, fills no memory, and gets a short answer."""

import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.integration.raw import connected, head, reads_one
from tests.integration.service import ADMIN_KEY, Databases, Service, refused, until

MB = 1024 * 1024
BATCH = "/api/v1/usage/batch"
AS_JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def small(databases: Databases) -> Iterator[Service]:
    """A service that holds 8 MiB of large bodies at a time."""
    url = databases.fresh()
    with Service(url, bulk_bytes_max=8 * MB) as service:
        service.admin.put("/api/v1/customers/acme", json={"plan": "free"}).raise_for_status()
        yield service
    databases.drop(url)


def unknown(count: int) -> str:
    return ",".join(f'"{number:x}":1' for number in range(count))


def cpu_seconds(service: Service, act: Callable[[], object]) -> float:
    def spent() -> float:
        with open(f"/proc/{service.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = spent()
    act()
    return spent() - before


def memory_mb(service: Service) -> float:
    with open(f"/proc/{service.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


MANY = {
    "fields": f'{{"items":[1],{unknown(800_000)}}}',
    "fields with a space": f'{{"items":[1],{unknown(600_000)}}}'.replace('":', '" \n:'),
    "fields of an item": f'{{"items":[{{{unknown(800_000)}}}]}}',
    "fields of each item": f'{{"items":[{",".join([f"{{{unknown(800)}}}"] * 1_000)}]}}',
    "fields of each amount": f'{{"items":[{",".join([f"""{{"customer_id":"a","usage":[{{{unknown(800)}}}]}}"""] * 1_000)}]}}',
}


@pytest.mark.parametrize("kind", MANY)
def test_hundreds_of_thousands_of_mistakes_are_one(small: Service, kind: str) -> None:
    content = MANY[kind].encode()
    assert len(content) < 8 * MB
    answers: list[httpx.Response] = []

    spent = cpu_seconds(small, lambda: answers.append(small.admin.post(BATCH, content=content, headers=AS_JSON)))

    assert (answers[0].status_code, answers[0].json()["detail"]) == (
        422,
        [{"type": "too_many_fields", "loc": ["body"], "msg": "A body has at most 100,000 fields"}],
    )
    assert spent < 1


def test_a_batch_of_nothing_but_mistakes_is_answered_item_by_item(small: Service) -> None:
    item = f'{{"customer_id":"acme",{unknown(90)}}}'

    answer = small.admin.post(BATCH, content=f'{{"items":[{",".join([item] * 1_000)}]}}', headers=AS_JSON)

    (first, *_), results = answer.json()["results"], answer.json()["results"]
    assert len(results) == 1_000
    assert first["status"] == 422
    assert first["body"]["detail"] == [{"type": "too_many_mistakes", "loc": [], "msg": "There are 91 mistakes, too many to be listed"}]
    assert len(answer.content) < MB


@pytest.mark.parametrize("count", [1_900, 5_500])
def test_no_body_of_an_end_user_takes_a_tenth_of_a_second(small: Service, count: int) -> None:
    user = small.user("acme")
    content = f"{{{unknown(count)}}}"
    assert len(content) < 64 * 1024

    def ask() -> None:
        for _ in range(20):
            answer = user.post("/api/v1/sessions", content=content, headers=AS_JSON)
            assert (answer.status_code, len(answer.json()["detail"])) == (422, 1)

    assert cpu_seconds(small, ask) / 20 < 0.1


BAD = {
    "no JSON": (BATCH, b"x" * (8 * MB), 10),
    "half of JSON": (BATCH, b'{"items":[' + b"[1," * (2 * MB), 10),
    "too large": (BATCH, b" " * (9 * MB), 10),
    "mistakes": (BATCH, f'{{"items":[{{{unknown(90_000)}}}]}}'.encode(), 10),
    "events that are none": ("/api/v1/events", b"[" + b"1," * (3 * MB) + b"1]", 10),
    "no JSON, small": ("/api/v1/customers/acme/usage", b"x" * 60_000, 475),
    "mistakes, small": ("/api/v1/customers/acme/usage", f"{{{unknown(1_900)}}}".encode(), 475),
}


def test_nothing_stays_of_a_thousand_bad_requests(small: Service) -> None:
    def ask(path: str, content: bytes) -> None:
        assert small.admin.post(path, content=content, headers=AS_JSON).status_code in (200, 400, 413, 422)

    for path, content, _ in BAD.values():
        ask(path, content)
    before = memory_mb(small)
    for path, content, times in BAD.values():
        for _ in range(times):
            ask(path, content)
    assert memory_mb(small) < before + 30


def test_large_bodies_beyond_the_allowance_are_to_come_again(small: Service) -> None:
    items = [{"customer_id": "acme", "usage": [{"feature": "sessions", "quantity": 1}], "mode": "record"}]
    few, padded = json.dumps({"items": items}), json.dumps({"items": items}) + " " * (5 * MB)
    lines = (f"Authorization: Bearer {ADMIN_KEY}", "Content-Type: application/json", f"Content-Length: {5 * MB}", "Expect: 100-continue")
    with connected(small) as connection:
        connection.sendall(head("POST", BATCH, *lines))
        assert b"100 Continue" in connection.recv(1000)

        beyond = small.admin.post(BATCH, content=padded, headers=AS_JSON)
        in_pieces = small.admin.post(BATCH, content=iter([padded.encode()]), headers=AS_JSON)
        assert refused(beyond, 503, "overloaded")
        assert refused(in_pieces, 503, "overloaded")
        assert beyond.headers["Retry-After"] == "1"
        assert small.admin.post(BATCH, content=few, headers=AS_JSON).status_code == 200
        assert small.admin.post("/api/v1/events", content=few + " " * (5 * MB), headers=AS_JSON).status_code == 503
    until(lambda: small.admin.post(BATCH, content=padded, headers=AS_JSON).status_code == 200, 10, "what a caller held that went away")


def test_strangers_hold_nothing_of_the_allowance(small: Service) -> None:
    stalled = head("POST", BATCH, "Content-Type: application/json", f"Content-Length: {8 * MB - 1}")
    with connected(small) as connection:
        connection.sendall(stalled)
        assert reads_one(connection).status == 401
        items = [{"customer_id": "acme", "usage": [{"feature": "sessions", "quantity": 1}], "mode": "record"}]
        content = json.dumps({"items": items}) + " " * (5 * MB)
        assert small.admin.post(BATCH, content=content, headers=AS_JSON).status_code == 200


def test_others_are_answered_while_a_large_body_is_refused(small: Service) -> None:
    slowest = 0.0
    done = threading.Event()

    def look() -> None:
        nonlocal slowest
        with httpx.Client(base_url=small.address) as client:
            while not done.is_set():
                started = time.perf_counter()
                client.get("/healthz")
                slowest = max(slowest, time.perf_counter() - started)

    looking = threading.Thread(target=look)
    looking.start()
    for kind in MANY:
        small.admin.post(BATCH, content=MANY[kind], headers=AS_JSON)
    done.set()
    looking.join()
    assert slowest < 1
