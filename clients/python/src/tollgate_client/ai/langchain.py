"""LangChain handlers: `model.invoke(…, config={"callbacks": [TollgateHandler(client, "acme")]})`; `AsyncTollgateHandler` for `ainvoke`."""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from tollgate_client import errors
from tollgate_client._async.client import AsyncTollgate
from tollgate_client._sync.client import Tollgate
from tollgate_client.ai.metering import Metering
from tollgate_client.ai.usage import AiUsage, priced

logger = logging.getLogger("tollgate_client")


class TollgateHandler(BaseCallbackHandler):
    """Holds before a call, commits what it used after it, and gives back what a call held that failed. Raises `Refused` before a call."""

    raise_error = True
    run_inline = True

    def __init__(self, client: Tollgate, customer_id: str, metering: Metering | None = None) -> None:
        self._client = client
        self._customer_id = customer_id
        self._metering = metering or Metering()
        self._held: dict[UUID, tuple[UUID, Sequence[str]]] = {}

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: Any, *, run_id: UUID, tags: list[str] | None = None, **more: Any
    ) -> None:
        self._hold(run_id, tags)

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, tags: list[str] | None = None, **more: Any
    ) -> None:
        self._hold(run_id, tags)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        if (held := self._held.pop(run_id, None)) is None:
            return
        used, dimension = self._metering.booked(usage_of_result(response), held[1])
        try:
            self._client.commit(self._customer_id, held[0], used, dimension=dimension)
        except errors.TollgateError:
            logger.exception("usage of %s was not booked", self._customer_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        if (held := self._held.pop(run_id, None)) is None:
            return
        try:
            self._client.release(self._customer_id, held[0])
        except errors.TollgateError:
            logger.exception("what %s held was not given back; it ends by itself", self._customer_id)

    def _hold(self, run_id: UUID, tags: list[str] | None) -> None:
        metering = self._metering
        reserved = self._client.reserve(self._customer_id, metering.held(), ttl_seconds=metering.ttl_seconds, reference=str(run_id))
        self._held[run_id] = reserved.id, tags or ()


class AsyncTollgateHandler(AsyncCallbackHandler):
    """As `TollgateHandler`, for `ainvoke` and `astream`."""

    raise_error = True
    run_inline = True

    def __init__(self, client: AsyncTollgate, customer_id: str, metering: Metering | None = None) -> None:
        self._client = client
        self._customer_id = customer_id
        self._metering = metering or Metering()
        self._held: dict[UUID, tuple[UUID, Sequence[str]]] = {}

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: Any, *, run_id: UUID, tags: list[str] | None = None, **more: Any
    ) -> None:
        await self._hold(run_id, tags)

    async def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, tags: list[str] | None = None, **more: Any
    ) -> None:
        await self._hold(run_id, tags)

    async def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        if (held := self._held.pop(run_id, None)) is None:
            return
        used, dimension = self._metering.booked(usage_of_result(response), held[1])
        try:
            await self._client.commit(self._customer_id, held[0], used, dimension=dimension)
        except errors.TollgateError:
            logger.exception("usage of %s was not booked", self._customer_id)

    async def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        if (held := self._held.pop(run_id, None)) is None:
            return
        try:
            await self._client.release(self._customer_id, held[0])
        except errors.TollgateError:
            logger.exception("what %s held was not given back; it ends by itself", self._customer_id)

    async def _hold(self, run_id: UUID, tags: list[str] | None) -> None:
        metering = self._metering
        reserved = await self._client.reserve(self._customer_id, metering.held(), ttl_seconds=metering.ttl_seconds, reference=str(run_id))
        self._held[run_id] = reserved.id, tags or ()


def usage_of_result(result: LLMResult) -> AiUsage | None:
    """What all answers of a call used together; None where the model does not say, as some do not when they stream."""
    messages = [
        generation.message
        for generations in result.generations
        for generation in generations
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage) and generation.message.usage_metadata
    ]
    if not messages:
        return None
    tokens_in = tokens_out = cached = 0
    for message in messages:
        told = message.usage_metadata
        assert told is not None
        tokens_in += told["input_tokens"]
        tokens_out += told["output_tokens"]
        cached += (told.get("input_token_details") or {}).get("cache_read") or 0
    about = messages[0].response_metadata
    return priced(about.get("model_provider"), str(about.get("model_name") or "unknown"), tokens_in, tokens_out, cached)
