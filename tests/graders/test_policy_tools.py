"""Tools on their way to the reference model: natively, in text, and where there can be none."""

from collections.abc import Iterator

import httpx
import pytest
from django.conf import settings

from graders import services
from graders.errors import EnvironmentFault, ModelUnavailable
from graders.models import Evaluation, Profile, ReferenceModel
from graders.pipeline import rolling
from graders.replies import Reply
from graders.runner.frames import MAX_CALLS, MAX_NAME
from graders.tooltext import ToolCalls, write
from tests.factories import SMALL_PROFILE, make_version
from tests.graders.scripted import ASK, Server, Talk, completion, ok, policy, says

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
TOOLS = {"tools": [ADD], "tool_choice": "required"}
CALL = {"id": "call_1_0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


@pytest.fixture
def waits() -> list[float]:
    """How long the policy chose to wait between attempts."""
    return []


@pytest.fixture
def evaluation(db: None) -> Evaluation:
    """One that began against the embedded model, which does not guess here."""
    model = services.ensure_embedded_model(f"unix:{settings.PATHS.model_socket}")
    ReferenceModel.objects.filter(pk=model.pk).update(temperature=0.0)
    Profile.objects.update_or_create(is_default=True, defaults=SMALL_PROFILE | {"token_limit": 48})
    return services.start(version=make_version(), actor=None)


@pytest.fixture
def embedded(evaluation: Evaluation) -> Iterator[Talk]:
    """The real embedded server, which knows no tools."""
    with Talk(rolling.policy(evaluation)) as opened:
        yield opened


def test_a_server_that_takes_tools_gets_them_as_they_are(server, waits):
    server.play(ok(message={"content": write("add", "{}")}))
    with policy(server, waits) as model:
        answer = model.chat(ASK | TOOLS, seed=1)
    assert answer == completion(message={"content": write("add", "{}")})
    assert {key: server.seen[0][2][key] for key in ("messages", *TOOLS)} == ASK | TOOLS


def test_a_model_that_overdoes_its_calls_is_no_failure_of_the_server(server, waits):
    """A rollout takes what it says, and the environment answers that it knows no such tool."""
    call = {"id": "i" * 999, "type": "function", "function": {"name": "n" * 999, "arguments": ""}}
    server.play(ok(message={"content": None, "tool_calls": [call] * (MAX_CALLS + 1)}))
    with policy(server, waits) as model:
        reply = Reply.read(model.chat(ASK | TOOLS, seed=1))
    assert len(reply.tool_calls) == MAX_CALLS
    assert reply.tool_calls[0]["function"]["name"] == "n" * MAX_NAME


def test_a_model_that_knows_no_tools_is_told_of_them_and_heard(server, waits):
    server.play(ok(message={"content": f"So:\n{write('add', CALL['function']['arguments'])}"}))
    with policy(server, waits, tools=ToolCalls.TEXT) as model:
        (choice,) = model.chat(ASK | TOOLS, seed=1)["choices"]
        model.chat(ASK, seed=1)
    asked, plain = (body for _, _, body in server.seen)
    assert not asked.keys() & TOOLS.keys()
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert "Add two numbers." in asked["messages"][0]["content"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {"role": "assistant", "content": "So:", "tool_calls": [CALL]}
    assert plain["messages"] == ASK["messages"]


def test_tools_that_cannot_be_told_are_the_environments_fault(server, waits):
    with policy(server, waits, tools=ToolCalls.TEXT) as model, pytest.raises(EnvironmentFault):
        model.chat(ASK | {"tools": [{"name": "add"}]}, seed=1)
    assert server.seen == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "tools param requires --jinja flag"),
        (500, "Unsupported param: tools"),
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'),
        (400, "registry.example/library/tiny:latest does not support tools"),
        (404, "No endpoints found that support tool use."),
        (400, "Unrecognized request argument supplied: tools"),
        (400, "Only user and assistant roles are supported!"),
    ],
)
def test_a_server_without_tools_is_an_error_that_says_what_to_set(server, waits, status, words):
    server.play(says(status, {"error": {"message": words}}))
    with policy(server, waits) as model:
        with pytest.raises(ModelUnavailable) as caught:
            model.chat(ASK | TOOLS, seed=1)
        assert waits == []
        with pytest.raises(ModelUnavailable) as plain:
            model.chat(ASK, seed=1)
    assert str(caught.value) == (
        f"The model m takes no tools: status {status}: {words}. An administrator can set the "
        'reference model\'s tool calls to "text".'
    )
    assert "takes no tools" not in str(plain.value)


@pytest.mark.parametrize(
    ("status", "words"),
    [(429, "the tool quota requires a pause"), (500, "tool parser crashed"), (503, "busy")],
)
def test_a_server_that_is_busy_is_not_one_without_tools(server, waits, status, words):
    server.play(says(status, {"error": {"message": words}}), ok())
    with policy(server, waits) as model:
        assert model.chat(ASK | TOOLS, seed=1) == completion()
    assert waits == [0.5]


def test_the_embedded_model_is_told_in_text(embedded):
    """Asked natively, the real server drops tools without a word: the count of tokens tells."""
    url = "http://localhost/v1/chat/completions"
    transport = httpx.HTTPTransport(uds=str(settings.PATHS.model_socket))
    with httpx.Client(transport=transport, timeout=120) as client:
        bodies = [ASK, ASK | TOOLS]
        native = [client.post(url, json=body | {"max_tokens": 1}).json() for body in bodies]
    counts = [answer["usage"]["prompt_tokens"] for answer in native]
    assert counts[0] == counts[1]
    answer = embedded.chat(ASK | TOOLS | {"max_tokens": 1}, seed=1)
    assert answer["usage"]["prompt_tokens"] > counts[0] + 100


def test_the_embedded_model_goes_through_a_conversation_with_tools(embedded):
    """Shown calls and their results, even this model writes a call, and it is read as one."""
    user = {"role": "user", "content": "Call add."}
    said = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    told = [{"role": "tool", "tool_call_id": CALL["id"], "content": "5"}] * 2
    shown = [user, said, *told, {"role": "assistant", "content": "5"}] * 2
    (choice,) = embedded.chat({"messages": [*shown, user]} | TOOLS, seed=1)["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0] == CALL | {"id": "call_11_0"}


def test_an_evaluation_goes_on_as_it_began(evaluation: Evaluation, server: Server):
    """Edited in between, the model is asked as before; one from before there were tools, as now."""
    services.ensure_embedded_model(server.base_url)
    ReferenceModel.objects.update(tool_calls="native")
    for forgotten in (False, True):
        found = Evaluation.objects.get(pk=evaluation.pk)
        if forgotten:
            del found.settings["tool_calls"]
        with Talk(rolling.policy(found)) as model:
            model.chat(ASK | TOOLS, seed=1)
    assert [body.get("tools") for _, _, body in server.seen] == [None, [ADD]]
