"""Tools over MCP; the environment earns in step, and is over after `guess`."""

from typing import Any

from fastmcp import FastMCP
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
from openenv.core.env_server.types import EnvironmentMetadata, Observation, State


class Box(MCPEnvironment):
    def __init__(self) -> None:
        mcp = FastMCP("box")
        self._word = ""
        self._guessed: str | None = None

        @mcp.tool
        def letter(place: int) -> str:
            """The letter of the hidden word at a place, from 0."""
            return self._word[place]

        @mcp.tool
        def guess(word: str) -> dict[str, bool]:
            """Say what the word is."""
            self._guessed = word
            return {"right": word == self._word}

        super().__init__(mcp)

    def get_metadata(self) -> EnvironmentMetadata:
        return EnvironmentMetadata(name="box", description="Find the hidden word by its letters.")

    def reset(self, seed: int = 0, **options: Any) -> Observation:
        words = options["words"]
        self._word = words[seed % len(words)]
        return Observation()

    async def step_async(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
        seen = await super().step_async(action, timeout_s)
        if isinstance(seen, CallToolObservation) and self._guessed is not None:
            seen.reward, seen.done = float(self._guessed == self._word), True
        return seen

    def _step_impl(self, action: Any, timeout_s: float | None = None, **_: Any) -> Observation:
        raise NotImplementedError

    @property
    def state(self) -> State:
        return State()


app = create_app(Box, CallToolAction, CallToolObservation, env_name="box")
