"""The rooms of the API: every module of this package that has a router is one, and so is that of a product of your own."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from fastapi import APIRouter

import api.v1


def _routers() -> Iterator[APIRouter]:
    for module in iter_modules(api.v1.__path__, f"{api.v1.__name__}."):
        router = getattr(import_module(module.name), "router", None)
        if isinstance(router, APIRouter):
            yield router


ROUTERS: Final = tuple(_routers())
