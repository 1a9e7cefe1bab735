"""What whoever runs the service asks it: is it alive, is it ready, what does it measure."""

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.dependencies import ContainerOf, reader
from api.docs import refusals

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: refusals()[503]})
async def readyz(container: ContainerOf) -> dict[str, str]:
    """The database answers, too; 503 where it does not."""
    await container.health().check()
    return {"status": "ready"}


@router.get("/metrics", dependencies=[Depends(reader)], response_class=Response)
async def metrics() -> Response:
    """Prometheus text."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
