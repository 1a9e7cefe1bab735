"""What whoever runs the service asks it: is it alive, is it ready, what does it measure."""

import os
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api.dependencies import container_of, reader
from api.docs import refusals
from api.frame.route import FrameRoute

MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The directory in which server processes share what they measure; set by `tollgate serve`."""

router = APIRouter(tags=["operations"], route_class=FrameRoute)


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=refusals("storage_unavailable", "schema_newer"))
async def readyz(request: Request) -> dict[str, str]:
    """The database answers, too; 503 where it does not."""
    container = container_of(request)
    await container.health().check()
    return {"status": "ready"}


@router.get("/metrics", dependencies=[Depends(reader)], response_class=Response)
async def metrics() -> Response:
    """Prometheus text: of this process, or of all server processes where there are several."""
    if MULTIPROCESS not in os.environ:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
    everyone = CollectorRegistry()
    MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
    return Response(generate_latest(everyone), media_type=CONTENT_TYPE_LATEST)
