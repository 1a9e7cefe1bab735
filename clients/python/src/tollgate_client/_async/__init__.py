"""The asynchronous client. Its synchronous twin, `_sync`, is generated from it: `python generate.py`."""
