"""The rooms of the API: every module of this package that has a router is one, and so is that of a product of your own.

A reference product's room names it as PRODUCT, so that it can be switched off.
"""

from collections.abc import Collection, Iterator
from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter

import api.v1


def routers(products: Collection[str]) -> Iterator[APIRouter]:
    """Those of the engine, of your own products, and of these reference products."""
    for found in iter_modules(api.v1.__path__, f"{api.v1.__name__}."):
        module = import_module(found.name)
        router = getattr(module, "router", None)
        product = getattr(module, "PRODUCT", None)
        if isinstance(router, APIRouter) and (product is None or product in products):
            yield router
