"""The `tollgate` command beside a service, on a database of its own."""

import json
from pathlib import Path

import pytest

from tests.integration.coaching import Customer
from tests.integration.service import JWT_SECRET, PLANS, Service, new_id, refused, tollgate

OWN = """
features:
  api_calls: {unit: call}
plans:
  own:
    name: Own
    entitlements:
      sessions: {type: metered, limit: %d}
      api_calls: {type: metered, limit: 1000, reset: day}
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    file = tmp_path / "own.yaml"
    file.write_text(OWN % 10)
    return file


def told(*arguments: object, service: Service, status: int = 0) -> str:
    """What the command says on the service's database."""
    done = tollgate(*arguments, "--data-dir", service.data_dir, database_url=service.database.url, jwt_secret=JWT_SECRET)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stdout + done.stderr


def test_plans_are_compared_pushed_and_shown(service: Service, plan_file: Path) -> None:
    assert "own: new, would be version 1" in told("plans", "diff", plan_file, service=service, status=1)
    refused(service.admin.get("/api/v1/plans/own"), 404, "plan_not_found")
    assert told("plans", "push", plan_file, service=service) == "own: new, version 1\n"
    plan_file.write_text(OWN % 20 + "  pro2: {entitlements: {sessions: {type: metered, limit: 7}}}\n")
    difference = told("plans", "diff", plan_file, service=service, status=1)
    assert difference.splitlines()[0] == "own: changed, would be version 2"
    assert "sessions: 10 sessions per billing_period (hard) -> 20 sessions per billing_period (hard)" in difference
    pushes = [told("plans", "push", plan_file, service=service) for _ in range(2)]
    assert pushes == ["own: changed, version 2\npro2: new, version 1\n", "own: unchanged, version 2\npro2: unchanged, version 1\n"]
    nothing_to_push = told("plans", "diff", plan_file, service=service)
    assert "own: unchanged" in nothing_to_push
    assert "free: left as it is" in nothing_to_push
    assert told("plans", "diff", plan_file, "--quiet", service=service) == ""
    shown = told("plans", "show", service=service)
    assert "api_calls" in shown
    assert "20 sessions per billing_period (hard)" in shown


def test_a_mistaken_plan_file_is_told_by_file_and_line_and_nothing_of_it_is_pushed(service: Service, plan_file: Path) -> None:
    plan_file.write_text((OWN % 10).replace("own:", "half:") + "  other:\n    entitlements:\n      minutes: {type: metered, limit: -1}\n")
    message = told("plans", "push", plan_file, service=service, status=1)
    assert message.startswith(f"tollgate: {plan_file}:12: plans.other.entitlements.minutes.limit: expected ")
    assert len(message.splitlines()) == 1
    refused(service.admin.get("/api/v1/plans/half"), 404, "plan_not_found")


def test_a_key_is_shown_once_listed_and_revoked(service: Service) -> None:
    text = json.loads(told("keys", "create", "--scope", "read", "--name", "dash[/]board", "--json", service=service))["key"]
    client = service.key(text)
    assert client.get("/api/v1/plans").status_code == 200
    refused(client.put("/api/v1/plans/own", json={"name": "Own", "entitlements": {}}), 403, "forbidden")
    assert "dash[/]board" in [key["name"] for key in json.loads(told("keys", "list", "--json", service=service))]
    listed = told("keys", "list", service=service)
    assert "dash[/]board" in listed
    assert text.split("_", 2)[2] not in listed
    id = str(service.database.value("SELECT id FROM service_key WHERE name = 'dash[/]board'"))
    assert id in listed
    told("keys", "revoke", id, service=service)
    refused(client.get("/api/v1/plans"), 401, "unauthenticated")
    assert "No service key" in told("keys", "revoke", "018f0000-0000-7000-8000-000000000000", service=service, status=1)


def test_a_token_is_its_customers(service: Service) -> None:
    customer = Customer.new(service)
    id = customer.created()
    token = told("token", customer.id, "--ttl", "60", service=service).strip()
    assert service.client({"Authorization": f"Bearer {token}"}).get(f"/api/v1/sessions/{id}").status_code == 200


def test_a_token_without_a_secret_to_sign_it_is_refused_in_a_line(service: Service) -> None:
    done = tollgate("token", new_id(), database_url=service.database.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tollgate: User tokens are signed with a secret, and none is configured. Set TOLLGATE_JWT_SECRET.\n"


def test_a_token_is_not_signed_by_the_secret_of_a_service_that_was_never_started(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    done = tollgate("token", new_id(), data_dir=nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tollgate: Nothing here: set TOLLGATE_DATABASE_URL or pass --data-dir.")
    assert not nowhere.exists()


def test_what_is_no_command_or_option_is_told_without_a_traceback() -> None:
    for arguments in (("serve", "--workers", "0"), ("keys", "create", "--scope", "god")):
        done = tollgate(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    done = tollgate("plans", "push", PLANS, data_dir=tmp_path, database_url="localhost:5432")
    assert done.returncode == 1
    assert done.stderr.startswith("tollgate: TOLLGATE_DATABASE_URL")
    assert len(done.stderr.splitlines()) == 1


def test_a_service_with_no_secret_for_tokens_refuses_them(database_url: str) -> None:
    with Service(database_url, jwt_secret=None) as service:
        refused(Customer.new(service).client.get("/api/v1/sessions"), 401, "unauthenticated")
