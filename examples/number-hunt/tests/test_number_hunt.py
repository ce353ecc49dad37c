import number_hunt
import pytest


def play(seed, replies):
    environment = number_hunt.make()
    environment.reset(seed=seed)
    rewards = []
    for reply in replies:
        _, reward, terminated, truncated, _ = environment.step(reply)
        rewards.append(reward)
        if terminated or truncated:
            break
    return sum(rewards), terminated, truncated


@pytest.mark.parametrize("seed", range(40))
def test_halving_always_wins(seed):
    environment = number_hunt.make()
    environment.reset(seed=seed)
    low, high = environment._low, environment._high
    total, terminated = 0.0, False
    while not terminated:
        guess = (low + high) // 2
        hint, reward, terminated, truncated, _ = environment.step(f"I say {guess}.")
        total += reward
        assert not truncated
        low, high = (guess + 1, high) if hint.startswith("Higher") else (low, guess - 1)
    assert total == 1


def test_idle_replies_earn_nothing_and_use_up_the_turns():
    assert play(0, ["", "no idea", "", "?", ""]) == (0, False, True)


def test_a_miss_earns_less_than_half_for_what_it_ruled_out():
    _, info = number_hunt.make().reset(seed=5)
    hidden = int(info["gold"][0])
    total, terminated, truncated = play(5, [str(hidden + 1), str(hidden - 1), "900", "0"])
    assert 0 < total <= 0.5
    assert (terminated, truncated) == (False, True)


def test_a_very_long_number_is_only_a_wrong_guess():
    assert play(1, ["9" * 5000])[0] == 0
