"""What a customer's plan refused is kept, as it is told."""

from functools import partial

from fastapi import Request

from api.container import Container
from api.errors import detail_of
from api.frame.stamp import request_id_of
from core.errors import DomainError


def note(request: Request, customer_id: str, operation: str, error: DomainError, *, asked: bool = False) -> None:
    """Has the error kept, if the plan is what refused, and waits for nothing. `asked`: nothing was to be done."""
    if error.refused_by_plan:
        container: Container = request.app.state.container
        id = request_id_of(request.scope).decode()
        container.refusals().note(customer_id, id, operation, partial(detail_of, error), asked=asked)
