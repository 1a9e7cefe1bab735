"""The synchronous client, generated from the asynchronous one: `python generate.py`."""
