"""What a reply is read as where an environment offers numbered actions."""

import pytest

from graders.runner.formats.spaces import Choices, Unclear

LAKE = Choices(range(4), {0: "Move left", 1: "Move down", 2: "Move right", 3: "Move up"})
TAXI = Choices(
    range(6),
    {
        0: "Move south (down)",
        1: "Move north (up)",
        2: "Move east (right)",
        3: "Move west (left)",
        4: "Pickup passenger",
        5: "Drop off passenger",
    },
    {"pick up": 4},
)
CARS = Choices(
    range(3), {0: "Accelerate to the left", 1: "Don't accelerate", 2: "Accelerate to the right"}
)
NAMELESS = Choices(range(-1, 30), {})


@pytest.mark.parametrize(
    ("choices", "reply", "action"),
    [
        (LAKE, "2", 2),
        (LAKE, "left", 0),
        (LAKE, "**Move  down**", 1),
        (LAKE, "<think>up?</think> LEFT.", 0),
        (LAKE, "I was told not to go up, so I go right", 2),
        (LAKE, "Step 7: right", 2),
        (LAKE, "go right in step 7", 2),
        (LAKE, "action=3", 3),
        (TAXI, "south", 0),
        (TAXI, "Let us go down", 0),
        (TAXI, "pickup", 4),
        (TAXI, "Now I pick up the passenger.", 4),
        (TAXI, "drop off", 5),
        (TAXI, "Move north (up)", 1),
        (CARS, "right", 2),
        (CARS, "I don't.", 1),
        (NAMELESS, "-1", -1),
        (NAMELESS, "29 or 30", 29),
    ],
)
def test_the_last_action_that_is_named_counts(choices: Choices, reply: str, action: int) -> None:
    assert choices.read(reply, None) == action


@pytest.mark.parametrize(
    ("choices", "reply"),
    [
        (LAKE, ""),
        (LAKE, "4"),
        (LAKE, "1.5"),
        (LAKE, "upwards"),
        (LAKE, "move"),
        (LAKE, "-1"),
        (LAKE, "1" * 5000),
        (LAKE, "left" + "." * 30_000),
        (CARS, "accelerate"),
        (NAMELESS, "left"),
    ],
)
def test_a_reply_without_an_action_is_told_what_there_is(choices: Choices, reply: str) -> None:
    with pytest.raises(Unclear, match="names no action") as caught:
        choices.read(reply, None)
    assert str(caught.value).endswith(choices.listed())


def test_what_is_not_possible_now() -> None:
    with pytest.raises(Unclear, match="Move up is not possible now") as caught:
        LAKE.read("left, no: up", [0, 1])
    assert str(caught.value).endswith("Possible:\n0: Move left\n1: Move down")
    assert LAKE.read("up, no: left", [0, 1]) == 0


def test_many_actions_are_not_listed_one_by_one() -> None:
    assert Choices(range(5, 505), {}).listed() == "a whole number from 5 to 504"
