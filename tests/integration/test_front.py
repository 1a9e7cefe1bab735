"""What a stranger may make a process hold, and for how long; and that what is no clear request has one defined answer."""

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.raw import RawAnswer, all_of, answers_in, connected, exchange, head, reads_one
from tests.integration.service import ADMIN_KEY, Databases, Service

HEAD_SECONDS, BODY_SECONDS = 2, 3
CONNECTIONS = 60
SPARE = 100
HEAD_BYTES_MAX = 64 * 1024
HEALTH = head("GET", "/healthz")
AUTHORIZED = f"Authorization: Bearer {ADMIN_KEY}"


@pytest.fixture(scope="module")
def strict(databases: Databases) -> Iterator[Service]:
    """A service with short deadlines and few connections."""
    url = databases.fresh()
    limits = {"head_seconds_max": HEAD_SECONDS, "body_seconds_max": BODY_SECONDS}
    with Service(url, arguments=["--limit-connections", CONNECTIONS], **limits) as service:
        yield service
    databases.drop(url)


@pytest.fixture(autouse=True)
def serves_on(strict: Service) -> Iterator[None]:
    yield
    assert strict.anyone.get("/healthz").status_code == 200
    assert "Traceback" not in strict.errors


def refused(answers: list[RawAnswer], status: int, error: str) -> None:
    """One answer, in the contract's form, and the connection is over."""
    assert [answer.status for answer in answers] == [status], answers
    (answer,) = answers
    assert (answer.detail["error"], answer.headers["connection"]) == (error, "close")
    assert answer.detail["message"].endswith(".")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]


UNCLEAR = {
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "two hosts": (head("GET", "/healthz", "Host: other"), 400, "bad_request"),
    "HTTP/2.0": (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 505, "http_version_not_supported"),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 505, "http_version_not_supported"),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    "chunked in 1.0": (b"POST /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    "length and chunked": (head("POST", "/healthz", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400, "bad_request"),
    "chunked and length": (head("POST", "/healthz", "Transfer-Encoding: chunked", "Content-Length: 3") + b"0\r\n\r\n", 400, "bad_request"),
    "another transfer encoding": (head("POST", "/healthz", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 400, "bad_request"),
    "two lengths": (head("POST", "/healthz", "Content-Length: 3", "Content-Length: 4") + b"abcd", 400, "bad_request"),
    "no path": (b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "a star": (head("OPTIONS", "*"), 400, "bad_request"),
    "a proxy's method": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00", 400, "bad_request"),
}


@pytest.mark.parametrize(("request_bytes", "status", "error"), UNCLEAR.values(), ids=UNCLEAR)
def test_what_is_no_clear_request_has_one_answer_and_the_connection_ends(
    strict: Service, request_bytes: bytes, status: int, error: str
) -> None:
    refused(exchange(strict, request_bytes + HEALTH), status, error)


def test_a_refusal_has_the_callers_request_id(strict: Service) -> None:
    (answer,) = exchange(strict, head("GET", "/healthz", "X-Request-Id: mine", "Host: other"))

    assert answer.headers["x-request-id"] == "mine"


def test_an_upgrade_is_not_taken_and_the_request_is_answered_as_the_last_one(strict: Service) -> None:
    (answer,) = exchange(strict, head("GET", "/healthz", "Connection: Upgrade", "Upgrade: websocket") + HEALTH)

    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_what_was_asked_before_is_answered_before_the_connection_ends(strict: Service) -> None:
    answers = exchange(strict, head("GET", "/readyz") + HEALTH + b"GET / HTTP/2.0\r\n\r\n")

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[-1].headers["connection"] == "close"


@pytest.mark.parametrize("pieces", [1, 7, 3000])
def test_a_head_has_at_most_64_kib(strict: Service, pieces: int) -> None:
    fitting = head("GET", "/healthz", "Connection: close", "X: ")
    fitting = fitting.replace(b"X: ", b"X: " + b"x" * (HEAD_BYTES_MAX - len(fitting)))
    larger = fitting.replace(b"X: ", b"X: x")
    size = -(-len(larger) // pieces)

    (answer,) = exchange(strict, *(fitting[start : start + size] for start in range(0, len(fitting), size)))
    assert answer.status == 200
    refused(exchange(strict, *(larger[start : start + size] for start in range(0, len(larger), size))), 431, "headers_too_large")


@pytest.mark.parametrize("endless", [b"GET /" + b"a" * 1_000_000, head("GET", "/")[:-2] + b"X: x\r\n" * 200_000, b"G" * 1_000_000])
def test_a_head_without_end_is_refused_however_much_is_sent_of_it(strict: Service, endless: bytes) -> None:
    before = _memory_mb(strict)
    answers = exchange(strict, endless, *([b"x" * 1_000_000] * 20))

    assert [answer.status for answer in answers] in ([431], [400])
    assert _memory_mb(strict) < before + 20


def test_a_body_is_not_made_of_chunk_marks_and_trailers(strict: Service) -> None:
    chunked = head("POST", "/api/v1/usage/batch", AUTHORIZED, "Content-Type: application/json", "Transfer-Encoding: chunked")

    refused(exchange(strict, chunked + b"1\r\n{\r\n0\r\n" + b"X: " + b"x" * 1_000_000), 400, "bad_request")
    refused(exchange(strict, chunked + b"1;" + b"x" * 1_000_000), 400, "bad_request")


def test_trailers_are_no_headers(strict: Service) -> None:
    chunked = head("POST", "/api/v1/usage/batch", "Transfer-Encoding: chunked", "Connection: close")

    (answer,) = exchange(strict, chunked + b"0\r\n" + AUTHORIZED.encode() + b"\r\n\r\n")
    assert answer.status == 401


def test_connections_that_keep_the_service_waiting_are_closed_in_time(strict: Service) -> None:
    batch = head("POST", "/api/v1/usage/batch", AUTHORIZED, "Content-Type: application/json", "Content-Length: 5000000")
    stalled = {
        "nothing at all": (b"", None, HEAD_SECONDS),
        "half a head": (HEALTH[:-3], 408, HEAD_SECONDS),
        "half a body": (batch + b"{" * 1000, 408, BODY_SECONDS),
        "a body of which nothing comes": (batch, 408, BODY_SECONDS),
    }
    with ExitStack() as stack:
        started = time.monotonic()
        open_ones = {name: stack.enter_context(connected(strict)) for name in stalled}
        for name, connection in open_ones.items():
            connection.sendall(stalled[name][0])
        for name, connection in open_ones.items():
            raw, seconds = all_of(connection), time.monotonic() - started
            _, status, bound = stalled[name]
            assert bound <= seconds < bound + 4, (name, seconds)
            if status is None:
                assert raw == b"", name
            else:
                refused(answers_in(raw), status, "request_timeout")


def test_a_body_may_take_longer_where_it_comes_at_the_least_rate(strict: Service) -> None:
    piece, pieces = b" " * 24_000, 2 * BODY_SECONDS + 2
    batch = head("POST", "/api/v1/usage/batch", AUTHORIZED, "Content-Type: application/json", f"Content-Length: {len(piece) * pieces}")
    with connected(strict) as connection:
        connection.sendall(batch)
        for _ in range(pieces):
            time.sleep(1)
            connection.sendall(piece)
        assert reads_one(connection).status == 422


def test_a_trickle_does_not_move_the_deadline(strict: Service) -> None:
    with connected(strict) as connection:
        connection.settimeout(0.2)
        started = time.monotonic()
        for byte in HEALTH[:-4]:
            connection.sendall(bytes([byte]))
            try:
                raw = connection.recv(4096)
            except TimeoutError:
                continue
            assert HEAD_SECONDS <= time.monotonic() - started < HEAD_SECONDS + 3
            refused(answers_in(raw), 408, "request_timeout")
            return
    pytest.fail("the service was kept waiting")


def test_health_is_answered_where_there_are_too_many_connections(strict: Service) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(connected(strict)).sendall(HEALTH[:5])
        spare = [stack.enter_context(connected(strict)) for _ in range(SPARE)]
        for path in ("/healthz", "/readyz?x=1", "/healthz"):
            (answer,) = exchange(strict, head("GET", path))
            assert (answer.status, answer.headers["connection"]) in ((200, "close"), (422, "close"))
        (refusal,) = exchange(strict, head("GET", "/api/v1/plans", AUTHORIZED))
        assert (refusal.status, refusal.detail["error"], refusal.headers["retry-after"]) == (503, "overloaded", "1")
        # The oldest of the spare ones gave its place to each of the newer ones.
        refused(answers_in(all_of(spare[0])), 503, "overloaded")
    assert strict.admin.get("/api/v1/plans").status_code == 200


def test_a_caller_that_takes_no_answers_has_to_go(strict: Service) -> None:
    with connected(strict) as connection:
        connection.sendall(head("GET", "/openapi.json") * 90)
        time.sleep(BODY_SECONDS)
        deadline = time.monotonic() + BODY_SECONDS + 4
        while time.monotonic() < deadline:
            try:
                connection.sendall(b"\r\n")
            except (BrokenPipeError, ConnectionResetError):
                return
            time.sleep(0.2)
    pytest.fail("the connection is still open")


def test_requests_that_wait_for_an_earlier_one_are_bounded(strict: Service) -> None:
    before = _memory_mb(strict)
    answers = exchange(strict, *[head("GET", "/healthz") * 5_000] * 40)

    assert {answer.status for answer in answers} == {200}
    assert len(answers) <= 102
    assert _memory_mb(strict) < before + 20


def test_a_process_may_open_as_many_files_as_the_system_lets_it(strict: Service) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert resource.prlimit(strict.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def _memory_mb(service: Service) -> float:
    with open(f"/proc/{service.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6
