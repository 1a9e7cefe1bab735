"""/api/v1/uploads: where signed upload URLs lead when files are kept on local disk."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from starlette.requests import ClientDisconnect

from api.dependencies import container_of
from api.docs import refusals
from api.frame.body import STREAMED_BYTES_MAX
from api.frame.route import FrameRoute
from core.sessions.uploads import UploadInterrupted

PRODUCT: Final = "sessions"

router = APIRouter(prefix="/api/v1/uploads", tags=["coaching sessions"], route_class=FrameRoute)


@router.put(
    "/{token}",
    status_code=204,
    max_body_size=STREAMED_BYTES_MAX,
    response_class=Response,
    responses=refusals(
        "invalid_upload_url",
        "session_not_found",
        "upload_url_expired",
        "file_size_exceeded",
        "invalid_session_state",
        "upload_in_progress",
        "upload_interrupted",
        "storage_unavailable",
        "overloaded",
    ),
)
async def receive_upload(token: Annotated[str, Path()], request: Request) -> Response:
    """Take the bytes, whole or not at all. The URL is the credential: no other is needed."""
    container = container_of(request)
    await container.receive_upload().execute(token, request.headers.get("content-type"), _content(request))
    return Response(status_code=204)


async def _content(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise UploadInterrupted from error
