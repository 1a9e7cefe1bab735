"""The stories of the reference products, played over HTTP against a running service."""
