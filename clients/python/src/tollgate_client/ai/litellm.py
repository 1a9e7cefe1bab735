"""A LiteLLM callback: `litellm.callbacks = [TollgateCallback(client)]`. For `acompletion`, the router and the proxy.

Whose plan a call counts towards is `metadata={"tollgate_customer": "acme"}`, or `user`. LiteLLM's synchronous `completion` asks no
callback before it calls a model, so nothing can be refused there: use `acompletion`.
"""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litellm.integrations.custom_logger import CustomLogger

from tollgate_client import errors
from tollgate_client._async.client import AsyncTollgate
from tollgate_client.ai.metering import Metering
from tollgate_client.ai.usage import AiUsage, priced

logger = logging.getLogger("tollgate_client")

CALLS = ("acompletion", "atext_completion", "aembedding", "aresponses", "anthropic_messages")


class TollgateCallback(CustomLogger):
    """Holds before a call, commits what it used after it, and gives back what a call held that failed."""

    def __init__(self, client: AsyncTollgate, metering: Metering | None = None) -> None:
        super().__init__()
        self._client = client
        self._metering = metering or Metering()
        self._held: dict[str, tuple[str, UUID]] = {}

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """Raises `Refused`, which the caller of LiteLLM gets."""
        customer_id, call = _customer(kwargs), _call(kwargs)
        if getattr(call_type, "value", call_type) not in CALLS or call in self._held:
            return None
        if customer_id is None or call is None:
            raise errors.Invalid('whose call this is has to be said: metadata={"tollgate_customer": …}')
        reserved = await self._client.reserve(customer_id, self._metering.held(), ttl_seconds=self._metering.ttl_seconds, reference=call)
        self._held[call] = customer_id, reserved.id
        return None

    async def async_log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        if (held := self._held.pop(_call(kwargs) or "", None)) is None:
            return
        used, dimension = self._metering.booked(_usage(kwargs, response_obj), _tags(kwargs))
        try:
            await self._client.commit(*held, used, dimension=dimension)
        except errors.TollgateError:
            logger.exception("usage of %s was not booked", held[0])

    async def async_log_failure_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        if (held := self._held.pop(_call(kwargs) or "", None)) is None:
            return
        try:
            await self._client.release(*held)
        except errors.TollgateError:
            logger.exception("what %s held was not given back; it ends by itself", held[0])


def _call(kwargs: Mapping[str, Any]) -> str | None:
    call = kwargs.get("litellm_call_id") or getattr(kwargs.get("litellm_logging_obj"), "litellm_call_id", None)
    return str(call) if call else None


def _metadata(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = kwargs.get("litellm_params") or {}
    return kwargs.get("metadata") or parameters.get("metadata") or {}


def _customer(kwargs: Mapping[str, Any]) -> str | None:
    customer_id = _metadata(kwargs).get("tollgate_customer") or kwargs.get("user")
    return str(customer_id) if customer_id else None


def _tags(kwargs: Mapping[str, Any]) -> list[str]:
    return [str(tag) for tag in _metadata(kwargs).get("tags") or ()]


def _usage(kwargs: Mapping[str, Any], response: Any) -> AiUsage | None:
    usage = getattr(response, "usage", None)
    if usage is None:
        return None
    details = getattr(usage, "prompt_tokens_details", None)
    provider = (kwargs.get("litellm_params") or {}).get("custom_llm_provider")
    return priced(
        str(provider) if provider else None,
        str(kwargs.get("model") or getattr(response, "model", "") or "unknown"),
        int(getattr(usage, "prompt_tokens", 0) or 0),
        int(getattr(usage, "completion_tokens", 0) or 0),
        int(getattr(details, "cached_tokens", 0) or 0),
    )
