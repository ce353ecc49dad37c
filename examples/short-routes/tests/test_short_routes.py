import networkx as nx
import pytest
import short_routes

ENVIRONMENT = short_routes.make()
LINKS = [("Bath", "Ely"), ("Ely", "York"), ("Bath", "Derby"), ("Derby", "Poole"), ("Poole", "York")]
ENTRY = {"metadata": {"links": LINKS, "start": "Bath", "goal": "York"}}


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("Bath, Ely, York", 1.0),
        ("From Bath to York: bath -> ely -> york.", 1.0),
        ("Bath to Ely, then Ely to York", 1.0),
        ("Bath, Derby, Poole, York", 0.6),
        ("via Ely", 1.0),
        ("Derby, Poole", 0.6),
        ("A: Bath, Ely, York\nQ: From Ely to Poole?", 1.0),
        ("Bath, Ely, Derby", 0.15),
        ("Bath, York", 0.0),
        ("Bath", 0.0),
        ("York", 0.0),
        ("Poole", 0.0),
        ("Bath, Ely, York, Poole, York", 0.0),
        ("Bath, Ely, Bath, Ely, York", 1.0),
        ("", 0.0),
    ],
)
def test_reward(answer, reward):
    assert ENVIRONMENT.score_answer(answer, ENTRY) == pytest.approx(reward)


def test_the_goal_is_never_next_door_and_always_reachable():
    for index in range(100):
        data = ENVIRONMENT[index]["metadata"]
        assert nx.shortest_path_length(nx.Graph(data["links"]), data["start"], data["goal"]) > 1


def test_an_echo_earns_nothing_and_a_list_of_all_places_little():
    entries = [ENVIRONMENT[index] for index in range(200)]
    assert {ENVIRONMENT.score_answer(entry["question"], entry) for entry in entries} == {0}
    lists = [", ".join(sorted(nx.Graph(entry["metadata"]["links"]))) for entry in entries]
    rewards = [ENVIRONMENT.score_answer(*pair) for pair in zip(lists, entries, strict=True)]
    assert sum(rewards) / len(rewards) < 0.25
