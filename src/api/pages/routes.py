"""The addresses of all pages."""

from typing import Final

from api.pages import assets, portal, reference
from api.pages.console import routes as console

ROUTES: Final = (*portal.ROUTES, *console.ROUTES, *reference.ROUTES, *assets.ROUTES)
