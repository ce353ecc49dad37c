"""Environments of verifiers v1, which is 0.4 and newer: a `Taskset` in a package's `__all__`,
and the `Env` and the `Harness` that it may name there as well.

A rollout is an episode of that Env, or of verifiers' own for one agent, on one task; its agents'
traces carry the rewards. Three things are put in place of verifiers' own: the client of its
interception server asks the model; the harness that talks to that server is a loop in here, where
verifiers would start a script that fetches its dependencies; and tool servers are called in here,
where each would be a process of its own. What runs in a remote runtime by default runs in here.
"""

import json
from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from copy import copy
from functools import partial
from itertools import islice
from statistics import fmean
from typing import Any

from .. import imports
from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError, ModelError
from .base import Adapter, Outcome, finished, messages, metrics, number, total

MODEL = "policy"
V1 = "verifiers.v1"
# Harnesses of verifiers that the loop in here stands in for. It gives the model no shell.
STOCK = ("bash", "null")
FINISHES = ("stop", "length", "tool_calls")
# Of a traceback: how many frames are shown, and where those lie that are of no help.
FRAMES = 4
FOREIGN = ("/verifiers/v1/", "/lib/python")

_decode = json.JSONDecoder().decode
# The interception server of the rollout at hand.
_server: ContextVar[Any] = ContextVar("server")


class VerifiersV1(Adapter):
    """One Env, of which each rollout has a copy with a server of its own.

    Args are the taskset's configuration; `env` among them configures the Env.
    """

    name = "verifiers-v1"
    needs = "a Taskset in the __all__ of its package, for verifiers 0.4 or newer"
    package = "verifiers"
    pins = ("verifiers>=0.4",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._env = self.source.first
        self._seats = imports.module(f"{V1}.configs.agent").agent_config_fields(self._env.config)
        self._make_server = _server_class()
        self._endless = not self._env.taskset.bounded
        self._tasks = [] if self._endless else list(self._env.taskset)
        if not self._endless and not self._tasks:
            raise LoadError("The taskset is empty.")
        if self._task(0).config.judges:
            raise LoadError("Its tasks have judges, which ask a second model; there is no network.")

    @classmethod
    def maker(cls, entry: Callable[..., Any], args: Mapping[str, Any]) -> Callable[[], Any]:
        return partial(_environment, entry, args)

    @classmethod
    def recognise(cls, made: object) -> bool:
        return imports.is_made_by(made, "verifiers", "Env")

    def tasks(self) -> int | None:
        return None if self._endless else len(self._tasks)

    async def preview(self, attempt: Attempt) -> list[Message]:
        return attempt.pose(lambda: _opening(self._task(attempt.task).data))

    async def rollout(self, attempt: Attempt) -> Outcome:
        task = attempt.pose(self._task, attempt.task)
        server = self._make_server(attempt, len(self._seats) > 1)
        traces = await attempt.drive(lambda: self._play(task, server))
        return self._outcome(traces, server.turns)

    def _task(self, number: int) -> Any:
        """A task; of an endless taskset by drawing anew up to it, so that it is always the same."""
        if self._endless:
            return next(islice(iter(self._env.taskset), number, None))
        return self._tasks[number]

    async def _play(self, task: Any, server: Any) -> list[Any]:
        """The traces of one finished episode. Raises what went wrong in it."""
        _server.set(server)
        clients = imports.module(f"{V1}.clients")
        env, taskset = copy(self._env), self._env.taskset
        env._interception = server
        env._shared_tools = {one.server_name: one for one in taskset.toolsets(taskset.config)}
        context = clients.ModelContext(model=MODEL, client=clients.EvalClientConfig())
        async with server:
            try:
                await env.start()
                episode = await env.run_episode(task, context)
            finally:
                await env.stop()
        if server.failure is not None:
            raise server.failure
        if not env.complete(episode):
            raise BadEnvironment(_words(episode))
        return list(episode.traces)

    def _outcome(self, traces: list[Any], turns: int) -> Outcome:
        """The reward is the trainable agents' mean; each agent's own mean is kept beside it."""
        earned: dict[str, list[float]] = {}
        for trace in traces:
            earned.setdefault(trace.agent.name, []).append(number(trace.reward, "The reward"))
        trained = [one.reward for one in traces if one.agent.trainable]
        per_agent = {name: fmean(rewards) for name, rewards in earned.items()}
        reward = fmean(trained or [reward for rewards in earned.values() for reward in rewards])
        return Outcome(
            total([reward], self.reward_range),
            turns,
            metrics(dict(_measures(traces))),
            per_agent if len(self._seats) > 1 else {},
        )


def _environment(taskset: Callable[..., Any], args: Mapping[str, Any]) -> Any:
    """The Env that a package's taskset belongs to, its seats made to play in here."""
    loaders = imports.module(f"{V1}.utils.loaders")
    package = taskset.__module__.partition(".")[0]
    given = dict(args)
    told = {**given.pop("env", {}), "taskset": {**given, "id": package}}
    config = loaders.resolve_env_config(told)
    seats = imports.module(f"{V1}.configs.agent").agent_config_fields(config)
    seated = {name: _seated(loaders, package, seat) for name, seat in seats.items()}
    _use_own(loaders)
    return loaders.load_environment(config.model_copy(update=seated))


def _seated(loaders: Any, package: str, seat: Any) -> Any:
    """A seat's configuration, with a harness and a runtime that need nothing from outside."""
    name = seat.harness.id if seat.harness else loaders.default_harness_id(package)
    harness = seat.harness or loaders.harness_config_type(name)(id=name)
    if name in STOCK:
        harness = loaders.harness_config_type("null")(id="null")
    elif name in loaders.builtin_harness_ids():
        raise LoadError(
            f"The harness {name} needs a container and a network. The {', '.join(STOCK)} harnesses "
            "and a package's own, if it runs in the environment's process, work here."
        )
    runtime = imports.module(f"{V1}.runtimes").SubprocessConfig()
    return seat.model_copy(update={"harness": harness, "runtime": runtime})


def _use_own(loaders: Any) -> None:
    """Have verifiers load our harness for its chat loop, and serve tools our way."""
    stock, chat = loaders.load_harness, _harness_class()
    loaders.load_harness = lambda config: chat(config) if config.id == "null" else stock(config)
    imports.module(f"{V1}.rollout").serve_tools = _serve_tools


def _client_class() -> Any:
    clients = imports.module(f"{V1}.clients.client")

    class Client(clients.Client):  # type: ignore[misc,name-defined]
        """One agent's."""

        def __init__(self, server: Any, agent: str) -> None:
            self._server = server
            self._agent = agent

        async def get_response(self, dialect: Any, body: Any, *_: Any, **__: Any) -> Any:
            raw = await self._server.ask(body, self._agent)
            response = dialect.parse_response(dialect.validate_response(raw))
            response.raw = raw
            return response

        async def relay(self, dialect: Any, body: Any, *_: Any, **__: Any) -> Any:
            """The whole answer as a stream, for a harness that wants one."""
            raw = await self._server.ask(body, self._agent)
            events = _each(dialect.stream_events(raw))
            return clients.RelayReply("text/event-stream", events, partial(sleep, 0))

    return Client


def _server_class() -> Any:
    server = imports.module(f"{V1}.interception.server")
    client = _client_class()

    class Server(server.InterceptionServer):  # type: ignore[misc,name-defined]
        """One rollout's. `turns` counts the model's answers, `failure` is why there was none."""

        def __init__(self, attempt: Attempt, has_seats: bool) -> None:
            super().__init__()
            self.turns = 0
            self.failure: Exception | None = None
            self.tools: dict[str, Any] = {}
            self._attempt = attempt
            self._has_seats = has_seats

        def _client(self, config: Any) -> None:
            return None  # `register` knows whose it is.

        def register(self, session: Any) -> Any:
            secrets = super().register(session)
            session.client = client(self, session.trace.agent.name if self._has_seats else "")
            session.trace_stops.append(self.max_turns)
            return secrets

        def max_turns(self) -> bool:
            return self.turns >= self._attempt.max_turns

        async def ask(self, body: Mapping[str, Any], agent: str) -> dict[str, Any]:
            try:
                reply = await self._attempt.acomplete(body, agent=agent)
            except (ModelError, BadEnvironment) as error:
                self.failure = error
                raise
            self.turns += 1
            return finished(reply, FINISHES)

    return Server


async def _each(events: list[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


@asynccontextmanager
async def _serve_tools(
    toolsets: list[Any], runtime: Any, shared: Any = None, *, state_route: str, **_: Any
) -> AsyncIterator[dict[str, str]]:
    """Toolsets by name, under addresses that our harness knows; a rollout has its own."""
    server = _server.get()
    trace = server.state_routes[state_route].trace
    addresses: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for toolset in [*(shared or {}).values(), *toolsets]:
            name = toolset.server_name
            address = addresses[name] = f"{state_route}/{name}"
            await stack.enter_async_context(toolset._exit_stack)
            server.tools[address] = await _opened(toolset, trace, toolset in toolsets)
        yield addresses


async def _opened(toolset: Any, trace: Any, has_task: bool) -> Any:
    """A toolset's server, set up. Around each call it reads and writes the trace's state."""
    if getattr(toolset.config, "url", None):
        raise BadEnvironment(f"The tools {toolset.server_name} are at a URL; there is no network.")

    async def pull() -> Any:
        return toolset._state_adapter.validate_json(trace.state.model_dump_json())

    async def push(before: bytes) -> None:
        after = toolset._state_adapter.dump_json(toolset.state)
        if after != before:
            trace.state = type(trace.state).model_validate_json(after)

    toolset._pull_state, toolset._push_state = pull, push
    await toolset.setup()
    if has_task:
        await toolset.setup_task(trace.task.data)
    served = imports.module("mcp.server.mcpserver").MCPServer(toolset.server_name or "tools")
    toolset.register(served)
    return served


def _harness_class() -> Any:
    null = imports.module(f"{V1}.harnesses.null")
    runtimes, httpx = imports.module(f"{V1}.runtimes"), imports.module("httpx")

    class Chat(null.NullHarness):  # type: ignore[misc,name-defined]
        """verifiers' chat loop, in here: talk until the model calls no more tools."""

        async def setup(self, runtime: Any) -> None:
            pass

        async def launch(
            self,
            ctx: Any,
            trace: Any,
            runtime: Any,
            endpoint: str,
            secret: str,
            mcp_urls: dict[str, str],
            data: Any,
            tool_interception_url: str | None = None,
        ) -> Any:
            bearer = {"Authorization": f"Bearer {secret}"}
            loopback = {"timeout": None, "trust_env": False, "verify": False}
            async with httpx.AsyncClient(headers=bearer, **loopback) as client:
                talk = Talk(client, endpoint, tool_interception_url)
                await talk.find_tools(
                    {name: _server.get().tools[at] for name, at in mcp_urls.items()}
                )
                error = await talk.run(_opening(data))
            return runtimes.ProgramResult(exit_code=1 if error else 0, stdout="", stderr=error)

    return Chat


class Talk:
    """One segment of a conversation, by way of the interception server. `gate` is where to ask
    whether a tool may be called, if anyone wants to be asked."""

    def __init__(self, client: Any, endpoint: str, gate: str | None) -> None:
        self._client = client
        self._endpoint = endpoint
        self._gate = gate
        self._tools: list[dict[str, Any]] = []
        self._calls: dict[str, Callable[[dict[str, Any]], Any]] = {}

    async def find_tools(self, servers: Mapping[str, Any]) -> None:
        for prefix, server in servers.items():
            for tool in await server.list_tools():
                name = f"{prefix}_{tool.name}" if prefix else tool.name
                described = {"name": name, "description": tool.description or ""}
                function = {**described, "parameters": tool.input_schema}
                self._tools.append({"type": "function", "function": function})
                self._calls[name] = partial(server.call_tool, tool.name)

    async def run(self, conversation: list[Message]) -> str:
        """Talk to the end; returns why it went no further, if it did not end by itself."""
        tools = {"tools": self._tools} if self._tools else {}
        while True:
            body = {"model": MODEL, "messages": conversation, **tools}
            answer = await self._client.post(f"{self._endpoint}/chat/completions", json=body)
            if answer.status_code != 200:
                return str(answer.text)
            said = answer.json()["choices"][0]["message"]
            conversation.append(said)
            for call in said.get("tool_calls") or ():
                conversation.append(await self._answer(call["id"], **call["function"]))
            if not said.get("tool_calls"):
                return ""

    async def _answer(self, number: str, name: str, arguments: str) -> Message:
        try:
            given = _decode(arguments or "{}")
        except ValueError as error:
            return _told(number, f"error: the arguments are no JSON ({error})")
        if not isinstance(given, dict):
            return _told(number, "error: the arguments are no JSON object")
        if self._gate is not None:
            asked = {"tool_call_id": number, "name": name, "arguments": given}
            verdict = (await self._client.post(self._gate, json=asked)).json()
            if verdict.get("action") == "deny":
                return dict(verdict["message"])
        return _told(number, await self._called(name, given))

    async def _called(self, name: str, given: dict[str, Any]) -> str:
        """What a tool gave, or raised: as over MCP, that is for the model to read."""
        if name not in self._calls:
            return f"error: unknown tool {name!r}"
        try:
            result = await self._calls[name](given)
        except imports.module("mcp.server.mcpserver.exceptions").ToolError as error:
            return str(error)
        return "\n".join(getattr(one, "text", str(one)) for one in result.content)


def _told(number: str, content: str) -> Message:
    return {"role": "tool", "tool_call_id": number, "content": content}


def _opening(data: Any) -> list[Message]:
    """What a task's conversation starts with."""
    wire = imports.module(f"{V1}.dialects.chat").message_to_wire
    system = [{"role": "system", "content": data.system_prompt}] if data.system_prompt else []
    if data.prompt is None:
        return system or messages(data.description or data.name or "The environment begins.")
    if isinstance(data.prompt, str):
        return [*system, *messages(data.prompt)]
    return [*system, *(wire(one) for one in data.prompt)]


def _measures(traces: list[Any]) -> Iterator[tuple[str, Any]]:
    """Metrics and single rewards by name, with the agent's before them if there are several."""
    for trace in traces:
        prefix = f"{trace.agent.name}." if len(traces) > 1 else ""
        for name, value in trace.metrics.items():
            yield f"{prefix}{name}", value
        for name, reward in trace.rewards.items():
            yield f"{prefix}{name}", reward and reward.score


def _words(episode: Any) -> str:
    """What went wrong in an episode, and where in the package."""
    errors = [*episode.errors, *(error for trace in episode.traces for error in trace.errors)]
    if not errors:
        return "The episode ended incomplete."
    error = errors[-1]
    lines = (error.traceback or "").splitlines()
    frames = [line for line in lines if line.startswith("  File ")]
    own = [line for line in frames if not any(place in line for place in FOREIGN)]
    return "\n".join([f"{error.type}: {error.message}", *own[-FRAMES:]])
