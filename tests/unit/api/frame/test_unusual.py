"""What the frame does not know is left to FastAPI, and answered all the same."""

from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI, Header
from fastapi.responses import Response
from fastapi.routing import APIRoute

from api.frame.body import BODY_BYTES_MAX
from api.frame.route import FrameRoute
from api.frame.service import Service
from api.replies import Reply
from tests.unit.api.frame.declaring import Declaring, Thing, declared, served
from tests.unit.api.frame.exchange import Exchange
from tests.unit.api.frame.unusual_routes import UNUSUAL, blocking_reply, reply_with_a_header_parameter, several_bodies

every_unusual_route = pytest.mark.parametrize("declare", UNUSUAL, ids=lambda declare: declare.__name__)


@every_unusual_route
def test_what_the_frame_does_not_know_is_left_to_fastapi(declare: Declaring) -> None:
    route = declared(declare)
    assert (route.unusual, route.declaration) == (UNUSUAL[declare], None)


SOMETHING = Exchange(
    "POST", "/things", {"content-type": "application/json"}, [b'{"name": "sent", "one": {"name": "1"}, "other": {"name": "2"}}']
)
REQUESTS = {
    "well asked": Exchange("GET", "/things?name=asked&limit=7&size=3", {"who": "somebody", "cookie": "who=somebody"}),
    "ill asked": Exchange("GET", "/things?limit=x&size=x"),
    "well sent": SOMETHING,
    "sent in chunks": Exchange("POST", "/things", {"content-type": "application/json"}, [b'{"name"', b': "sent"}']),
    "sent as nothing": Exchange("POST", "/things", {}, [b'{"name": "sent"}']),
    "ill sent": Exchange("POST", "/things", {"content-type": "application/json"}, [b'{"name": 7}']),
    "another method": Exchange("PUT", "/things"),
}


@every_unusual_route
@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_route_that_is_left_to_fastapi_is_answered_as_fastapi_answers(declare: Declaring, request_: str) -> None:
    def exchange() -> Exchange:
        known = REQUESTS[request_]
        return Exchange(known.method, known.target, known.headers, known.chunks)

    ours = await exchange().run(served(declare, Service(), FrameRoute))
    if declare in (blocking_reply, reply_with_a_header_parameter):
        theirs = await exchange().run(served(_with_a_response(declare), FastAPI(), APIRoute))
    else:
        theirs = await exchange().run(served(declare, FastAPI(), APIRoute))
    assert ours == theirs


def _with_a_response(declare: Declaring) -> Declaring:
    """FastAPI's own route has to be given a response where ours takes a reply."""

    def declare_with_a_response(router: APIRouter) -> None:
        if declare is blocking_reply:

            @router.get("/things", response_model=Thing)
            def plain() -> Response:
                return Reply.of(Thing(name="made"), 202, location="/things/1").response()
        else:

            @router.get("/things", response_model=Thing)
            async def waiting(who: Annotated[str, Header()]) -> Response:
                return Reply.of(Thing(name=who), 202).response()

    return declare_with_a_response


async def test_a_body_for_fastapis_handler_is_bounded_by_the_route_too() -> None:
    app = served(several_bodies, Service(), FrameRoute)
    for chunks in ([b"x" * (BODY_BYTES_MAX + 1)], [b"x" * BODY_BYTES_MAX, b"x"]):
        answered = await Exchange("POST", "/things", {"content-type": "application/json"}, chunks).run(app)
        assert (answered.status, answered.json["detail"]["error"]) == (413, "request_too_large")
