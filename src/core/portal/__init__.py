"""What a customer may look at without credentials of its own: sessions of its usage page, and what changes while it looks."""
