import frozen_walk
import pytest


def play(seed, replies):
    environment = frozen_walk.make()
    environment.reset(seed=seed)
    rewards, seen = [], ""
    for reply in replies:
        seen, reward, terminated, truncated, _ = environment.step(reply)
        rewards.append(reward)
        if terminated or truncated:
            break
    return sum(rewards), seen


@pytest.mark.parametrize("seed", range(40))
def test_the_shortest_way_wins_in_the_turns_there_are(seed):
    _, info = frozen_walk.make().reset(seed=seed)
    assert 2 <= len(info["gold"]) <= frozen_walk.TURNS
    assert play(seed, info["gold"]) == (1, "You are at the goal!")


def test_a_hole_takes_back_what_was_earned():
    environment = frozen_walk.make()
    ends = [
        play(seed, [first, second])
        for seed in range(30)
        for first in frozen_walk.MOVES
        for second in frozen_walk.MOVES
    ]
    drowned = [total for total, seen in ends if seen == "You fell into a hole."]
    assert drowned
    assert set(drowned) == {0}
    with pytest.raises(RuntimeError, match="reset"):
        environment.step("up")


def test_part_of_the_way_earns_part_of_a_half():
    _, info = frozen_walk.make().reset(seed=2)
    total, _ = play(2, info["gold"][:-1])
    assert 0 < total < 0.5


def test_the_first_direction_counts():
    _, info = frozen_walk.make().reset(seed=7)
    said = [f"I go {move}, not up, down, left or right." for move in info["gold"]]
    assert play(7, said)[0] == 1


def test_idle_replies_end_after_the_turns_with_nothing():
    assert play(1, [""] * 9) == (0, "Left, right, up or down?")
