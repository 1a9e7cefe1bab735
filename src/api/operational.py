"""What whoever runs the service asks it: is it alive, is it ready, what does it measure."""

import os
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api.dependencies import container_of, reader
from api.docs import refusals
from api.errors import told
from api.frame.route import FrameRoute
from api.wire import Answer
from core.errors import DomainError

MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The directory in which server processes share what they measure; set by `tollgate serve`."""

router = APIRouter(tags=["operations"], route_class=FrameRoute)


class ReadyAnswer(Answer):
    """The database answers."""

    status: str
    waiting: int


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=ReadyAnswer, responses=refusals("storage_unavailable", "schema_newer"))
async def readyz(request: Request) -> Response:
    """The database answers, too; 503 where it does not. `waiting`: decisions that were admitted without it and are not booked yet."""
    container = container_of(request)
    waiting = (await container.outage_journal().everywhere()).decisions
    try:
        await container.health().check()
    except DomainError as error:
        refusal = told(error)
        return JSONResponse({"detail": {**refusal.detail, "waiting": waiting}}, refusal.status, refusal.headers)
    return JSONResponse({"status": "ready", "waiting": waiting})


def registry() -> CollectorRegistry:
    """What is measured of this process, or of all server processes where there are several."""
    if MULTIPROCESS not in os.environ:
        return REGISTRY
    everyone = CollectorRegistry()
    LiveProcesses(everyone)  # type: ignore[no-untyped-call]
    return everyone


class LiveProcesses(MultiProcessCollector):
    """Of processes that have ended, what they counted stays, and what they were doing does not."""

    def collect(self) -> Any:
        for file in Path(os.environ[MULTIPROCESS]).glob("gauge_live*.db"):
            pid = file.stem.rpartition("_")[2]
            if not Path("/proc", pid).exists() and Path("/proc").exists():
                file.unlink(missing_ok=True)
        return super().collect()  # type: ignore[no-untyped-call]


@router.get("/metrics", dependencies=[Depends(reader)], response_class=Response)
async def metrics() -> Response:
    """Prometheus text: of this process, or of all server processes where there are several."""
    return Response(generate_latest(registry()), media_type=CONTENT_TYPE_LATEST)
