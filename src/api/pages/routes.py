"""The addresses of all pages."""

from typing import Final

from api.pages import assets, portal, reference

ROUTES: Final = (*portal.ROUTES, *reference.ROUTES, *assets.ROUTES)
