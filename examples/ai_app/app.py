"""An endpoint that calls a model, held to tokens and dollars: uvicorn app:app, with TOLLGATE_URL and TOLLGATE_KEY set."""

from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Header

from tollgate_client import AsyncTollgate, Refused
from tollgate_client.ai import usage_of
from tollgate_client.guard import refusal


async def fake_model(question: str) -> dict[str, Any]:
    """In place of a provider's client: an answer in OpenAI's form."""
    usage = {"prompt_tokens": 20 + len(question), "completion_tokens": 200, "total_tokens": 220 + len(question)}
    return {"model": "gpt-4o-2024-08-06", "choices": [{"message": {"content": question.upper()}}], "usage": usage}


@asynccontextmanager
async def lifespan(app: FastAPI) -> Any:
    async with AsyncTollgate() as app.state.tollgate:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/ask")
async def ask(question: str, x_account: str = Header()) -> dict[str, Any]:
    try:
        async with app.state.tollgate.hold(x_account, ai_tokens=4_000, ai_cost="0.05") as hold:
            answer = await fake_model(question)
            used = usage_of(answer)
            hold.used(ai_tokens=used.tokens, ai_cost=used.cost, dimension=used.model)
    except Refused as error:
        raise refusal(error) from error
    return {"answer": answer["choices"][0]["message"]["content"], "cost": str(used.cost)}
