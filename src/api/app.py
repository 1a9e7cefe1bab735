"""The HTTP application."""

import asyncio
import gc
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from api import docs, errors, operational
from api.access_lines import AccessLines, as_json, as_text
from api.container import Container, running
from api.frame.allowance import Allowance
from api.frame.gathered import GATHERED, Take
from api.frame.service import Service
from api.http_measures import measure
from api.pages import routes as pages
from api.pages.console.measured import Measurements
from api.pages.live import LiveUsage
from api.served import request_id
from api.settings import Settings
from api.v1 import events
from api.v1.routers import routers


def create_app(container: Container) -> FastAPI:
    """An app that takes everything from this container; nothing is global."""

    @asynccontextmanager
    async def whole_life(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        _leave_with_parent()
        _spare_the_collector()
        async with running(container):
            yield {GATHERED: app.gathered}
        app.gathered.flush()
        container.output_lines().close()

    settings = container.settings()
    app = Service(
        title="Tollgate",
        version=version("tollgate-service"),
        lifespan=whole_life,
        docs_url=None,
        redoc_url=None,
        telemetry=telemetry(os.environ),
        cors_origins=settings.cors_origins,
        takers=_takers(container),
    )
    app.state.container = container
    app.state.bulk_allowance = Allowance(container.settings().bulk_bytes_max)
    errors.install(app)
    docs.install(app, events.schemas())
    # The routes themselves and not their routers: FastAPI goes through an included router twice, once to find that it has the route,
    # and once to find the route.
    for router in (*routers(container.settings().products), operational.router):
        app.router.routes.extend(router.routes)
    app.state.measurements = Measurements(operational.registry)
    app.state.live_usage = LiveUsage(container.usage_watch(), container.clock())
    app.router.routes.extend(pages.ROUTES)
    return app


def _takers(container: Container) -> Sequence[Take]:
    """What is done of requests that were answered."""
    settings = container.settings()
    if not settings.access_log:
        return (measure,)
    return (measure, AccessLines(as_json if settings.log_format == "json" else as_text, container.output_lines().write))


def telemetry(environment: Iterable[str]) -> TelemetryConfig:
    """FastAPI's OpenTelemetry where the environment has any variable of it: looking out for it takes 3 % of a request."""
    wanted = any(name.startswith(("OTEL_", "FASTAPI_OTEL_")) for name in environment)
    return {} if wanted else {"tracing": False, "metrics": False, "logs": False}


def _spare_the_collector() -> None:
    """What was made at the start stays: the garbage collector need not look at it again, nor look so often at what requests make.

    On a batch of a thousand decisions this is worth a third of the time (docs/architecture/measurements.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _leave_with_parent() -> None:
    """Ends a server process whose supervisor was killed, so that no orphan keeps the port and serves on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        asyncio.get_running_loop().add_reader(parent.sentinel, signal.raise_signal, signal.SIGTERM)


def from_environment() -> FastAPI:
    """The app of one server process, set up by environment variables."""
    container = Container(settings=Settings())
    container.set_up_log(request_id)
    return create_app(container)
