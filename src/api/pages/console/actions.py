"""What the console can change. Each change says what it will do and asks once; then it is done, once, and kept with who did it."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ValidationError
from starlette.responses import Response

from api.pages.console.access import FORM_TOKEN, NotSent, Visit
from api.v1.plans import PlanBody, draft_of
from core.access.create_key import CreateKeyCommand
from core.access.rotate_key import RotateKeyCommand
from core.access.service_keys import Scope
from core.customers.override_limit import EndOverrideCommand, OverrideLimitCommand
from core.customers.put_addon import PutAddonCommand
from core.customers.schedule_plan import CallOffPlanCommand, Moment, SchedulePlanCommand
from core.metering.correct_record import CorrectRecordCommand
from core.metering.finish_reservation import ReleaseReservationCommand
from core.metering.grants import GrantKind
from core.metering.issue_grant import IssueGrantCommand
from core.metering.use_case import execute_one
from core.metering.void_grant import VoidGrantCommand
from core.portal.portal_session import NewPortalSession

Form = Mapping[str, str]

_CONFIRMED: Final = "confirmed"
_ONCE: Final = "once"


class Mistaken(Exception):
    """A field that has to be filled in otherwise; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Action:
    """`sentence` says what will happen, `perform` does it and says what it did; `back` is where the reader goes on."""

    sentence: Callable[[Form], str]
    perform: Callable[[Visit, Form], Awaitable[str]]
    section: str = "customers"
    shows_secret: bool = False


async def act(visit: Visit) -> Response:
    """Asks first; the second time, with the answer, it does it."""
    name = visit.request.path_params["action"]
    action = ACTIONS.get(name)
    if action is None:
        raise NotSent("There is no such change.")
    form = {key: value.strip() for key, value in visit.form.items() if key not in (FORM_TOKEN, _CONFIRMED, _ONCE)}
    back = _back(action, form)
    try:
        sentence = action.sentence(form)
        if visit.form.get(_CONFIRMED) != "yes":
            once = visit.container.new_id()().hex
            return visit.show("console_confirm.html", action.section, action=name, sentence=sentence, fields=form, once=once, back=back)
        once = visit.form.get(_ONCE, "")
        if not 1 <= len(once) <= 64 or not once.isalnum():
            raise NotSent("The form cannot be read.")
        print_of_it = hashlib.sha256(json.dumps([name, form], sort_keys=True).encode()).digest()
        if not await visit.container.answer_once().claim(f"console {visit.who.identity}", once, print_of_it):
            again = f"This was done already: {sentence}"
            return visit.show("console_message.html", action.section, title="Done before", message=again, back=back)
        did = await action.perform(visit, form)
    except Mistaken as mistake:
        return visit.show("console_message.html", action.section, 422, title="Please look again", message=str(mistake), back=back)
    return visit.show("console_done.html", action.section, message=did, is_secret=action.shows_secret, back=back)


def _back(action: Action, form: Form) -> str:
    customer = form.get("customer_id")
    return f"/console/customer?{urlencode({'id': customer})}" if customer else f"/console/{action.section}"


def _text(form: Form, name: str, label: str) -> str:
    value = form.get(name, "")
    if not value:
        raise Mistaken(f"{label} is missing.")
    if len(value) > 255 or not value.isprintable():
        raise Mistaken(f"{label} has to be one line of up to 255 characters.")
    return value


def _number(form: Form, name: str, label: str) -> Decimal:
    try:
        value = Decimal(_text(form, name, label))
    except InvalidOperation as error:
        raise Mistaken(f"{label} has to be a number, such as 12 or 0.5.") from error
    if not value.is_finite():
        raise Mistaken(f"{label} has to be a number, such as 12 or 0.5.")
    return value


def _whole(form: Form, name: str, label: str, least: int, most: int) -> int:
    value = _number(form, name, label)
    if value != value.to_integral_value() or not least <= value <= most:
        raise Mistaken(f"{label} has to be a whole number from {least} to {most}.")
    return int(value)


def _id(form: Form, name: str, label: str) -> UUID:
    try:
        return UUID(form.get(name, ""))
    except ValueError as error:
        raise Mistaken(f"{label} is no id.") from error


def _day(form: Form, name: str, label: str) -> datetime | None:
    value = form.get(name, "")
    if not value:
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise Mistaken(f"{label} has to be a day, such as 2027-01-31.") from error


def _customer(form: Form) -> str:
    return _text(form, "customer_id", "The customer")


# Plans of a customer


def _say_plan(form: Form) -> str:
    when = "at the end of its billing period" if form.get("when") == "period_end" else "now"
    return f"Put {_customer(form)} on the plan {_text(form, 'plan', 'The plan')} {when}."


async def _change_plan(visit: Visit, form: Form) -> str:
    customer_id, plan = _customer(form), _text(form, "plan", "The plan")
    if form.get("when") == "period_end":
        scheduled = SchedulePlanCommand(customer_id=customer_id, plan=plan, effective_at=Moment.PERIOD_END, changed_by=visit.who.name)
        customer = await visit.container.schedule_plan().execute(scheduled)
        assert customer.agreement.scheduled is not None, "it was scheduled"
        return f"{customer_id} goes over to {plan} on {visit.formats.moment(customer.agreement.scheduled.effective_at)} UTC."
    await visit.container.change_customer().execute(customer_id, {"plan": plan}, visit.who.name)
    return f"{customer_id} is on the plan {plan}."


async def _call_off(visit: Visit, form: Form) -> str:
    await visit.container.call_off_plan().execute(CallOffPlanCommand(customer_id=_customer(form), changed_by=visit.who.name))
    return f"{_customer(form)} stays on its plan."


# Limits and add-ons


def _say_override(form: Form) -> str:
    limit = form.get("limit", "")
    return f"Give {_customer(form)} a limit of its own of {_text(form, 'feature', 'The feature')}: {limit or 'unlimited'}."


async def _override(visit: Visit, form: Form) -> str:
    limit = _number(form, "limit", "The limit") if form.get("limit") else None
    command = OverrideLimitCommand(
        customer_id=_customer(form),
        feature=_text(form, "feature", "The feature"),
        limit=limit,
        until=_day(form, "until", "The last day"),
        reason=form.get("reason") or None,
        changed_by=visit.who.name,
    )
    await visit.container.override_limit().execute(command)
    return f"{command.customer_id} has a limit of its own of {command.feature}: {'unlimited' if limit is None else f'{limit:f}'}."


async def _end_override(visit: Visit, form: Form) -> str:
    command = EndOverrideCommand(customer_id=_customer(form), feature=_text(form, "feature", "The feature"), changed_by=visit.who.name)
    await visit.container.end_override().execute(command)
    return f"The plan's own limit of {command.feature} counts again for {command.customer_id}."


async def _put_addon(visit: Visit, form: Form) -> str:
    quantity = _whole(form, "quantity", "How often", 0, 10_000)
    command = PutAddonCommand(
        customer_id=_customer(form), plan=_text(form, "plan", "The plan"), quantity=quantity, changed_by=visit.who.name
    )
    await visit.container.put_addon().execute(command)
    return f"{command.customer_id} has {command.plan} {quantity} times on top of its plan."


# Grants, records, reservations


def _say_grant(form: Form) -> str:
    kind = "Sell" if form.get("kind") == "paid" else "Give"
    quantity = _number(form, "quantity", "The quantity")
    return f"{kind} {_customer(form)} {quantity:f} of {_text(form, 'feature', 'The feature')} on top of its plan."


async def _issue_grant(visit: Visit, form: Form) -> str:
    command = IssueGrantCommand(
        customer_id=_customer(form),
        feature=_text(form, "feature", "The feature"),
        quantity=_number(form, "quantity", "The quantity"),
        kind=GrantKind.PAID if form.get("kind") == "paid" else GrantKind.PROMOTIONAL,
        expires_at=_day(form, "expires", "The day of expiry"),
        reason=form.get("reason") or None,
        created_by=visit.who.name,
    )
    await execute_one(visit.container.issue_grant(), command)
    return f"{command.customer_id} has {command.quantity:f} more of {command.feature}."


async def _void_grant(visit: Visit, form: Form) -> str:
    command = VoidGrantCommand(_customer(form), _id(form, "grant_id", "The grant"), _text(form, "reason", "The reason"), visit.who.name)
    await execute_one(visit.container.void_grant(), command)
    return "The grant is void: what was used of it stays used, and nothing is left."


async def _correct(visit: Visit, form: Form) -> str:
    quantity = _number(form, "quantity", "The quantity")
    reason = _text(form, "reason", "The reason")
    command = CorrectRecordCommand(_customer(form), _id(form, "record_id", "The record"), quantity, reason, visit.who.name)
    await execute_one(visit.container.correct_record(), command)
    return f"The record is corrected by {quantity:f}."


async def _release(visit: Visit, form: Form) -> str:
    command = ReleaseReservationCommand(_customer(form), _id(form, "reservation_id", "The reservation"))
    await execute_one(visit.container.release_reservation(), command)
    return "The reservation is released: what it set aside is free again."


async def _open_portal(visit: Visit, form: Form) -> str:
    wanted = NewPortalSession(customer_id=_customer(form), created_by=visit.who.name)
    begun = await visit.container.begin_portal_session().execute(wanted)
    return f"{visit.container.settings().public_url}/portal/{begun.token}"


# Plans


def _plan_of(form: Form) -> tuple[str, PlanBody]:
    key = _text(form, "key", "The key")
    try:
        return key, PlanBody.model_validate_json(form.get("content", ""))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the text"
        raise Mistaken(f"The plan cannot be read: {where}: {first['msg']}.") from error


def _say_publish(form: Form) -> str:
    key, body = _plan_of(form)
    return f"Publish a new version of {key} with {len(body.entitlements)} entitlements. Customers stay on the version that they are on."


async def _publish(visit: Visit, form: Form) -> str:
    key, body = _plan_of(form)
    published = await visit.container.publish_plan().execute(draft_of(key, body))
    did = "was published" if published.is_new else "has just this content: nothing was published"
    return f"Version {published.plan.version} of {key} {did}."


# Keys


async def _create_key(visit: Visit, form: Form) -> str:
    scope = form.get("scope", "")
    if scope not in set(Scope):
        raise Mistaken("The scope is read, write or admin.")
    created = await visit.container.create_key().execute(
        CreateKeyCommand(scope=Scope(scope), name=form.get("name") or None, expires_at=_day(form, "expires", "The day of expiry"))
    )
    return created.text


async def _rotate_key(visit: Visit, form: Form) -> str:
    grace = timedelta(hours=_whole(form, "hours", "The hours", 0, 24 * 90))
    created = await visit.container.rotate_key().execute(RotateKeyCommand(id=_id(form, "key_id", "The key"), grace=grace))
    return created.text


async def _revoke_key(visit: Visit, form: Form) -> str:
    await visit.container.revoke_key().execute(_id(form, "key_id", "The key"))
    return "The key is revoked: it is refused from now on."


# Drift


async def _repair(visit: Visit, form: Form) -> str:
    customer_id = _customer(form)
    use_case = visit.container.reconcile()
    found = await use_case.find([customer_id])
    if not found:
        return f"All agrees for {customer_id}: nothing was changed."
    written = await use_case.repair(found)
    return f"Repaired {len(found)} differences of {customer_id}; {written} ledger records were written."


def _say_addon(form: Form) -> str:
    return f"Put {form.get('plan')} on top of {_customer(form)}'s plan, {form.get('quantity')} times in all."


def _say_end_override(form: Form) -> str:
    return f"Let the plan's own limit of {form.get('feature')} count again for {_customer(form)}."


def _say_rotate(form: Form) -> str:
    return f"Create a key in place of this one, which ends in {form.get('hours')} hours."


ACTIONS: Final[Mapping[str, Action]] = {
    "change-plan": Action(_say_plan, _change_plan),
    "call-off-plan": Action(lambda form: f"Call the scheduled change of plan of {_customer(form)} off.", _call_off),
    "override": Action(_say_override, _override),
    "end-override": Action(_say_end_override, _end_override),
    "addon": Action(_say_addon, _put_addon),
    "grant": Action(_say_grant, _issue_grant),
    "void-grant": Action(lambda form: f"Take back what is left of the grant, from {_customer(form)}. This cannot be undone.", _void_grant),
    "correct": Action(lambda form: f"Correct the record of {_customer(form)} by {_number(form, 'quantity', 'The quantity'):f}.", _correct),
    "release": Action(lambda form: f"Release the reservation of {_customer(form)}.", _release),
    "portal": Action(lambda form: f"Make an address of {_customer(form)}'s usage page, for an hour.", _open_portal, shows_secret=True),
    "publish": Action(_say_publish, _publish, "plans"),
    "create-key": Action(lambda form: f"Create a key with the scope {form.get('scope')}.", _create_key, "keys", shows_secret=True),
    "rotate-key": Action(_say_rotate, _rotate_key, "keys", shows_secret=True),
    "revoke-key": Action(lambda form: "Revoke the key: whoever uses it is refused from then on, for good.", _revoke_key, "keys"),
    "repair": Action(lambda form: f"Rebuild what disagrees for {_customer(form)} from the ledger.", _repair, "drift"),
}
