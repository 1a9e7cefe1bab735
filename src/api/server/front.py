"""What the connections of one server process share."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from api.server.bounds import Bounds
from api.server.crowd import Crowd
from api.server.protocol import FrontProtocol
from api.server.watch import Watch


class Front:
    """Makes the protocols of connections: `uvicorn.Config(http=Front(bounds))`. Each server process gets its own copy."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._shared: tuple[Watch, Crowd] | None = None

    def __call__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> FrontProtocol:
        loop = _loop or asyncio.get_running_loop()
        if self._shared is None:
            connections: set[FrontProtocol] = server_state.connections  # type: ignore[assignment]
            self._shared = Watch(loop, connections), Crowd(connections, self.bounds.connections_max)
        watch, crowd = self._shared
        return FrontProtocol(self.bounds, watch, crowd, config, server_state, app_state, loop)
