"""The rollouts by verifiers' own `evaluate`; for an interpreter that has verifiers.

`rollouts` is what is compared. `calls` makes the same requests to the model and nothing else;
`alone` is `evaluate` with a model at hand, so without a request.
"""

import asyncio
import json
import os
import sys
from typing import Any

import sums
import sums_data
from openai.types.chat import ChatCompletion
from verifiers.clients.openai_chat_completions_client import OpenAIChatCompletionsClient
from verifiers.types import ClientConfig, SystemMessage, UserMessage

from bench.clock import Clock
from bench.instant import MODEL, completion


class AtHand(OpenAIChatCompletionsClient):
    """Answers at once, without a request."""

    def __init__(self, answer: str) -> None:
        super().__init__(object())
        self._completion = completion(answer)

    async def get_native_response(self, *args: Any, **kwargs: Any) -> ChatCompletion:
        return ChatCompletion.model_validate(self._completion)

    async def close(self) -> None:
        pass


def config(url: str) -> ClientConfig:
    os.environ["BENCH_KEY"] = "none"
    return ClientConfig(api_key_var="BENCH_KEY", api_base_url=url)


async def calls(url: str, count: int, concurrency: int) -> None:
    client, gate = OpenAIChatCompletionsClient(config(url)), asyncio.Semaphore(concurrency)

    async def one(question: str) -> None:
        prompt = [SystemMessage(content=sums_data.SYSTEM), UserMessage(content=question)]
        async with gate:
            await client.get_response(prompt, MODEL, {})

    await asyncio.gather(*(one(row["question"]) for row in sums_data.rows(count)))
    await client.close()


def main() -> None:
    """Do what the JSON in the first argument says; print when, and the rewards."""
    terms, clock = json.loads(sys.argv[1]), Clock()
    clock.mark("imported")
    url, count, concurrency = terms["url"], terms["count"], terms["concurrency"]
    env = sums.load_environment(count)
    clock.mark("loaded")
    if terms["what"] == "calls":
        asyncio.run(calls(url, count, concurrency))
        clock.mark("ended")
        return clock.tell()
    client = AtHand(terms["answer"]) if terms["what"] == "alone" else config(url)
    found = env.evaluate_sync(client, MODEL, num_examples=count, max_concurrent=concurrency)
    clock.mark("ended")
    clock.tell(rewards=[output["reward"] for output in found["outputs"]])
