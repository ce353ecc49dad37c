"""A conversation with tools and two seats, and with everything in it that is hard to show."""

import json
from typing import Any

USAGE = {"prompt_tokens": 90, "completion_tokens": 17}
CODE = 'def solve(n):\n    """Count <b>all</b> of them."""\n    return sum(range(n))\n' * 12
RTL = "מה השעה עכשיו? “\u202eevil” العربية من اليمين إلى اليسار، 12.5 درهم."
SOLID = "no-space-at-all/" * 30


def tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


def call(number: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [
    tool("add", "Add two numbers.", a={"type": "integer"}, b={"type": "integer"}),
    tool(
        "python",
        "Run code in a fresh interpreter.\n\nReturns:\n    what it printed, at most 4 KiB",
        code={"type": "string", "description": "The whole program, <script>alert(1)</script>"},
    ),
    tool("a_name_" * 14, RTL + " " + SOLID, **{SOLID: {"type": "string"}}),
    {"type": "function", "function": {"name": "look"}},
    *(tool(f"tool_{number}", f"The tool number {number}.") for number in range(20)),
]


def said(content: str, *calls: dict[str, Any], **rest: Any) -> dict[str, Any]:
    found = {"tool_calls": list(calls)} if calls else {}
    end = {"finish_reason": "tool_calls" if calls else "stop", "usage": USAGE}
    return {"role": "assistant", "content": content, **found, **end, **rest}


def result(number: str, content: str, **rest: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": number, **rest}


def one_seat() -> list[dict[str, Any]]:
    """A conversation with tools."""
    return [
        {"role": "system", "content": "Use the tools. Answer with a number."},
        {"role": "user", "content": f"What is 2 + 3?\n\n{RTL}"},
        said(
            "I add them, and run a program to be sure.",
            call("c1", "add", '{"a": 2, "b": 3}'),
            call("c2", "python", json.dumps({"code": CODE, "timeout_s": 5})),
            call("c3", "look", ""),
            call("c4", "add", '{"a": 2, "b": '),
            tools=TOOLS,
        ),
        result("c1", "5"),
        result("c2", "5\n" * 900),
        result("c3", ""),
        result("c4", "Error: the arguments are not JSON.", name="add"),
        said("", call("c5", "a_name_" * 14, json.dumps({SOLID: SOLID, "rtl": RTL}))),
        result("c5", SOLID),
        said("5", tools=[]),
    ]


def two_seats() -> list[dict[str, Any]]:
    """A game that both seats play, each in its own conversation; one of them is cut short."""
    ada, bob = {"agent": "Player 0"}, {"agent": "Spieler_" * 8}
    return [
        {"role": "user", "content": "You are X. Your move.", **ada},
        said("[4]", **ada),
        {"role": "user", "content": "You are O.\n X |   |  \n---+---+---", **bob},
        said("[0]", call("c1", "place", '{"at": 0}'), tools=TOOLS[:1], **bob),
        result("c1", "placed", **bob),
        {"role": "user", "content": "O played 0.", **ada},
        said("[8]", **ada),
        {"role": "user", "content": "Only the board: X at 4 and 8.", "replaces_from": 1, **ada},
        said("[2]", **ada),
        {"role": "user", "content": "Draw.", "replaces_from": 0, **bob},
        said("Well played.", **bob),
    ]
