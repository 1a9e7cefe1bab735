"""How a request is carried out, from its head to its answer: the one way in which routes run.

Routes are declared as FastAPI's are: a decorator, typed parameters, a docstring, `responses`; and OpenAPI is FastAPI's own. What a
declaration asks for is read once, when the app is made (`declaration.py`), and a request is then answered without FastAPI's machinery
(`route.py`), which takes four fifths of the time. A declaration that asks for more than that is left to FastAPI.

1. `dispatch.py` finds the route by the method and the raw path, taken apart before it is decoded.
2. The route's dependencies are asked: who is calling, and may they? Before a byte of the body is read.
3. `body.py` reads the body, bounded, and validates it.
4. The function is called. One that returns a command is `carried_out`: once per idempotency key, in a transaction.
5. `answers.py` sends the answer, or what the one error table says of what was raised.
"""
