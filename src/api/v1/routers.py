"""The rooms of the API, in one list."""

from typing import Final

from fastapi import APIRouter

from api.v1 import budget, bulk, conversations, customers, learning, operations, plans, records, reservations, sessions, uploads, usage

ROUTERS: Final[tuple[APIRouter, ...]] = (
    usage.router,
    reservations.router,
    bulk.router,
    conversations.router,
    sessions.router,
    learning.router,
    operations.router,
    budget.router,
    records.router,
    uploads.router,
    customers.router,
    plans.router,
)
"""Routes are tried in this order for each request: the busiest come first."""
