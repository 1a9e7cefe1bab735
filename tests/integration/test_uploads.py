"""Uploads over HTTP: by signed URLs, streamed, and kept whole or not at all."""

import base64
import json
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import httpx
import jwt
import psutil
import pytest

from core.sessions.uploads import UploadGrant
from infrastructure.storage.signed_urls import SignedUploadUrls
from tests.integration.coaching import AUDIO, Customer, at_once
from tests.integration.service import JWT_SECRET, Service, refused, until, user_token

MB = 1_000_000
STUDIO = {
    "name": "Studio",
    "entitlements": {
        "sessions": {"type": "metered", "limit": None},
        "minutes": {"type": "metered", "limit": None},
        "max_file_size_mb": {"type": "static", "value": 1000},
    },
}


@pytest.fixture
def customer(service: Service) -> Customer:
    assert service.admin.put("/api/v1/plans/studio", json=STUDIO).status_code in (200, 201)
    return Customer.new(service, "studio")


@pytest.fixture
def session(customer: Customer) -> str:
    return customer.created()


def files(service: Service) -> set[Path]:
    """Everything that is kept of uploads, whole or not."""
    return {path for path in (service.data_dir / "uploads").rglob("*") if path.is_file()}


def until_bytes_are_coming(service: Service) -> None:
    incoming = service.data_dir / "uploads" / "incoming"
    until(lambda: list(incoming.iterdir()), expected="the upload's first bytes on the disk")


@contextmanager
def nothing_kept(customer: Customer, session: str) -> Iterator[None]:
    before = files(customer.service)
    yield
    until(lambda: files(customer.service) == before, expected="nothing to be left of the upload")
    refused(customer.confirm(session), 409, "upload_missing")


def token_of(url: str) -> str:
    return url.rpartition("/")[2]


def signed(service: Service, customer: Customer, session: str, **changes: object) -> str:
    """A URL as the service signs them, but with whatever grant."""
    expires_at = datetime.now(UTC) + timedelta(minutes=5)  # noqa: TID251
    grant = {"content_type": AUDIO, "max_size_bytes": 1000, "max_file_size_mb": Decimal(60), "expires_at": expires_at}
    secret = (service.data_dir / "upload_secret").read_bytes().strip()
    target = SignedUploadUrls(secret, service.address).target(UploadGrant(customer.id, UUID(session), **(grant | changes)))  # type: ignore[arg-type]
    return target.url


def test_what_was_sent_is_kept_to_the_byte_and_can_be_confirmed(customer: Customer, session: str) -> None:
    before, content = files(customer.service), bytes(range(256)) * 10_000
    customer.upload(session, content)
    (kept,) = files(customer.service) - before
    assert kept.read_bytes() == content
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert customer.confirm(session).json()["status"] == "pending"


def test_a_callers_file_name_never_touches_the_file_system(customer: Customer, session: str) -> None:
    before = files(customer.service)
    for name in ("../../../../tmp/owned.m4a", "/tmp/owned.m4a", "C:\\owned.m4a", "~", "$(id)", "a\u202eb"):
        response = customer.request_upload(session, filename=name)
        if response.status_code == 200:
            assert "owned" not in response.json()["upload_url"]
            assert customer.send(response.json()["upload_url"], b"sound").status_code == 204
    (kept,) = files(customer.service) - before
    assert kept.name not in ("owned.m4a", "~")
    assert not Path("/tmp/owned.m4a").exists()


def test_a_second_upload_takes_the_place_of_the_first(customer: Customer, session: str) -> None:
    before = files(customer.service)
    customer.upload(session, b"first")
    customer.upload(session, b"second")
    (kept,) = files(customer.service) - before
    assert kept.read_bytes() == b"second"


def test_of_uploads_at_once_exactly_one_is_kept(customer: Customer, session: str) -> None:
    before, url = files(customer.service), customer.upload_url(session)
    responses = at_once(*[lambda n=n: customer.send(url, b"%d" % n) for n in range(10)])
    assert 204 in {response.status_code for response in responses} <= {204, 409}
    assert {refused(response, 409, "upload_in_progress")["error"] for response in responses if response.status_code == 409} <= {
        "upload_in_progress"
    }
    assert len(files(customer.service) - before) == 1


def test_one_byte_more_than_was_signed_is_refused(customer: Customer, session: str) -> None:
    url = customer.upload_url(session, 1000)
    with nothing_kept(customer, session):
        detail = refused(customer.send(url, b"x" * 1001), 413, "file_size_exceeded")
        assert (detail["max_file_size_mb"], detail["size_bytes"]) == (1000, 1001)
    assert customer.send(url, b"x" * 1000).status_code == 204


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_far_more_than_was_signed_is_refused_and_the_caller_hears_of_it(customer: Customer, session: str, chunked: bool) -> None:
    url, chunks = customer.upload_url(session, 2 * MB), (b"x" * MB for _ in range(50))
    with nothing_kept(customer, session):
        refused(customer.send(url, chunks if chunked else b"x" * 50 * MB), 413, "file_size_exceeded")


def test_fewer_bytes_than_were_signed_are_a_whole_file_too(customer: Customer, session: str) -> None:
    assert customer.send(customer.upload_url(session, 1000), iter([b"x" * 400, b"x" * 500])).status_code == 204


def test_an_empty_upload_is_none(customer: Customer, session: str) -> None:
    url = customer.upload_url(session)
    with nothing_kept(customer, session):
        refused(customer.send(url, b""), 400, "upload_interrupted")


@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("framing", [b"Content-Length: 6000000", b"Transfer-Encoding: chunked"], ids=["with its length", "in chunks"])
def test_of_an_upload_whose_connection_is_cut_nothing_is_kept(customer: Customer, session: str, framing: bytes, abruptly: bool) -> None:
    url = httpx.URL(customer.upload_url(session, 6 * MB))
    with nothing_kept(customer, session), socket.create_connection((url.host, url.port)) as connection:
        head = b"PUT %b HTTP/1.1\r\nHost: x\r\nContent-Type: audio/mp4\r\n%b\r\n\r\n" % (url.raw_path, framing)
        size = b"%x\r\n" % (6 * MB) if framing.endswith(b"chunked") else b""
        connection.sendall(head + size + b"x" * 3 * MB)
        until_bytes_are_coming(customer.service)
        if abruptly:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def altered(token: str) -> Iterator[str]:
    head, claims, signature = token.split(".")
    text = json.loads(base64.urlsafe_b64decode(claims + "=="))

    def encoded(data: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    yield f"{head}.{encoded(text | {'bytes': 10**9})}.{signature}"
    yield f"{head}.{encoded(text | {'sub': 'somebody-else'})}.{signature}"
    yield f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{claims}."
    yield f"{head}.{claims}.{signature[:-2]}"
    yield f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    yield token + "="
    yield jwt.encode(text, JWT_SECRET, "HS256")
    yield user_token(text["sub"])
    yield "nothing-of-the-kind"


def test_an_altered_or_forged_url_is_refused(customer: Customer, session: str) -> None:
    url = customer.upload_url(session)
    with nothing_kept(customer, session):
        for token in altered(token_of(url)):
            refused(customer.send(url.replace(token_of(url), token), b"sound"), 403, "invalid_upload_url")


def test_an_expired_url_is_refused(customer: Customer, session: str) -> None:
    now = datetime.now(UTC)  # noqa: TID251
    with nothing_kept(customer, session):
        url = signed(customer.service, customer, session, expires_at=now - timedelta(seconds=1))
        refused(customer.send(url, b"sound"), 410, "upload_url_expired")
    assert customer.send(signed(customer.service, customer, session), b"sound").status_code == 204


@pytest.mark.parametrize("content_type", ["video/mp4", "text/html", None])
def test_content_of_another_type_than_was_signed_is_refused(customer: Customer, session: str, content_type: str | None) -> None:
    url = customer.upload_url(session)
    with nothing_kept(customer, session):
        refused(customer.send(url, b"sound", content_type), 403, "invalid_upload_url")


def test_a_url_for_a_session_that_is_another_customers_leads_nowhere(customer: Customer, session: str) -> None:
    other = Customer.new(customer.service, "studio")
    with nothing_kept(customer, session):
        refused(customer.send(signed(customer.service, other, session), b"sound"), 404, "session_not_found")


def test_another_customer_can_do_nothing_with_a_sessions_upload(customer: Customer, session: str) -> None:
    other = Customer.new(customer.service, "studio")
    customer.upload(session)
    refused(other.request_upload(session), 404, "session_not_found")
    refused(other.confirm(session), 404, "session_not_found")
    assert customer.get(session).json()["status"] == "uploading"


def test_an_upload_token_is_no_user_token(customer: Customer, session: str) -> None:
    token = token_of(customer.upload_url(session))
    client = customer.service.client({"Authorization": f"Bearer {token}"})
    refused(client.get("/api/v1/sessions"), 401, "unauthenticated")


def test_after_its_confirmation_an_upload_stays_as_it_is(customer: Customer, session: str) -> None:
    url = customer.upload_url(session)
    assert customer.send(url, b"sound").status_code == 204
    before = files(customer.service)
    customer.confirm(session)
    refused(customer.send(url, b"other"), 409, "invalid_session_state")
    assert files(customer.service) == before


def test_a_confirmation_while_bytes_are_still_coming_leaves_what_was_confirmed(customer: Customer, session: str) -> None:
    customer.upload(session, b"confirmed")
    before, go_on = files(customer.service), threading.Event()

    def content() -> Iterator[bytes]:
        yield b"x" * 2 * MB
        go_on.wait(60)
        yield b"x"

    def confirm() -> httpx.Response:
        try:
            until_bytes_are_coming(customer.service)
            return customer.confirm(session)
        finally:
            go_on.set()

    url = customer.upload_url(session, 3 * MB)
    late, confirmation = at_once(lambda: customer.send(url, content()), confirm)
    assert confirmation.json()["status"] == "pending"
    refused(late, 409, "invalid_session_state")
    assert files(customer.service) == before


def test_a_large_upload_does_not_grow_the_service(customer: Customer, session: str) -> None:
    server = psutil.Process(customer.service.process.pid)
    customer.upload(customer.created(), b"x" * 3 * MB)  # whatever the first upload of all takes up
    before = server.memory_info().rss
    largest = before
    chunk = bytes(MB)

    def content() -> Iterator[bytes]:
        nonlocal largest
        for _ in range(300):
            yield chunk
            largest = max(largest, server.memory_info().rss)

    assert customer.send(customer.upload_url(session, 300 * MB), content()).status_code == 204
    assert largest - before < 60 * MB
    (kept,) = [path for path in files(customer.service) if path.stat().st_size == 300 * MB]
    kept.unlink()
