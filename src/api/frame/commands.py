"""Routes whose function returns a command: it is carried out, once per idempotency key, and its result is answered."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from api.container import Container
from api.frame.refused import note
from api.replies import Reply, once
from api.served import note_outcome
from core.errors import DomainError
from core.metering.idempotency import Replay
from core.metering.use_case import AccountCommand, UseCase, execute_one

C = TypeVar("C", bound=AccountCommand)
R = TypeVar("R")

_CARRIED: Final = "__carried__"
_REQUEST: Final = "http_request"


@dataclass(frozen=True, slots=True)
class Carried:
    """A function that makes a command; who carries it out, and how its result is answered."""

    function: Callable[..., Any]
    use_case: Callable[[Container], UseCase[Any, Any]]
    render: Callable[[Any], Reply]

    async def reply(self, request: Request, values: Mapping[str, Any]) -> tuple[Reply, bool]:
        """The answer, and whether it is a repeated one. What is answered has been committed; a refusal is raised."""
        command: AccountCommand = self.function(**values)
        body = next((value for value in values.values() if isinstance(value, BaseModel)), None)
        key = once(request, command.customer_id, body, self.render)
        try:
            outcome = await execute_one(self.use_case(request.app.state.container), command, key)
        except DomainError as error:
            note(request, command.customer_id, self.function.__name__, error)
            raise
        if isinstance(outcome, Replay):
            note_outcome("replayed")
            return Reply.decoded(outcome.reply), True
        return self.render(outcome), False


def carried_out(
    *, by: Callable[[Container], UseCase[C, R]], answered: Callable[[R], Reply]
) -> Callable[[Callable[..., C]], Callable[..., Any]]:
    """Below a route's own decorator: the function returns a command, `by` says which use case carries it out, `answered` the reply.

    What is made of the function is an endpoint that FastAPI could run as well, with the function's own parameters. Raises TypeError for a
    function that asks for the request: a command is made of what was understood, or a repeat could not be told from another request.
    """

    def decorate(function: Callable[..., C]) -> Callable[..., Any]:
        command = Carried(function, by, answered)
        signature = inspect.signature(function, eval_str=True)
        if any(parameter.annotation is Request for parameter in signature.parameters.values()):
            raise TypeError(f"{function.__name__} makes a command, and may not see the request")

        @functools.wraps(function)
        async def endpoint(**values: Any) -> Response:
            request: Request = values.pop(_REQUEST)
            reply, replayed = await command.reply(request, values)
            return reply.response(replayed=replayed)

        own = inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request)
        endpoint.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*signature.parameters.values(), own], return_annotation=inspect.Signature.empty
        )
        setattr(endpoint, _CARRIED, command)
        return endpoint

    return decorate


def carried(endpoint: Callable[..., Any]) -> Carried | None:
    """What `carried_out` made of a function; None for any other endpoint."""
    found: Carried | None = getattr(endpoint, _CARRIED, None)
    return found
