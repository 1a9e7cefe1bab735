"""How a server process meets strangers: what a connection may make it hold, and for how long, before a request is one.

uvicorn sends the answers. `protocol.py` reads requests within bounds, `connection.py` ends what takes too long, `front.py` is what all
connections of a process share, `watch.py` the one timer that looks after them, `refusals.py` what is answered to what is no request.
The rules are on docs/architecture/failures.md.
"""
