"""The addresses of the console."""

from typing import Final

from starlette.routing import Route

from api.pages.console import views
from api.pages.console.access import sign_in, sign_out, signed_in
from api.pages.console.actions import act

ROUTES: Final = (
    Route("/console", signed_in(views.home), include_in_schema=False),
    Route("/console/sign-in", sign_in, methods=["POST"], include_in_schema=False),
    Route("/console/sign-out", signed_in(sign_out), methods=["POST"], include_in_schema=False),
    Route("/console/customers", signed_in(views.customers), include_in_schema=False),
    Route("/console/records", signed_in(views.records), include_in_schema=False),
    Route("/console/customer", signed_in(views.customer), include_in_schema=False),
    Route("/console/plans", signed_in(views.plans), include_in_schema=False),
    Route("/console/plans/{key}", signed_in(views.plan), include_in_schema=False),
    Route("/console/drift", signed_in(views.drift), include_in_schema=False),
    Route("/console/keys", signed_in(views.keys), include_in_schema=False),
    Route("/console/now", signed_in(views.now), include_in_schema=False),
    Route("/console/now/numbers", signed_in(views.now_numbers), include_in_schema=False),
    Route("/console/act/{action}", signed_in(act), methods=["POST"], include_in_schema=False),
)
