"""The addresses of all pages."""

from typing import Final

from api.pages import assets, portal

ROUTES: Final = (*portal.ROUTES, *assets.ROUTES)
