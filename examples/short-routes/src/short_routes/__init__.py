"""Small maps told as a list of links, and two places to get between by the fewest of them."""

import itertools
import random
import re
from dataclasses import dataclass
from typing import Any

import networkx as nx

TASKS = 1_000_000
PLACES = (4, 4, 5)


@dataclass(frozen=True)
class Setting:
    """What the places are, how links are told, and how the way is asked for."""

    places: tuple[str, ...]
    links: str
    question: str


SETTINGS = (
    Setting(
        ("Bath", "York", "Ely", "Leeds", "Dover", "Poole", "Ripon", "Truro", "Wells", "Derby"),
        "Roads: {links}.",
        "Shortest drive from {start} to {goal}?",
    ),
    Setting(
        ("hall", "attic", "kitchen", "cellar", "study", "porch", "bedroom", "pantry", "garage"),
        "These rooms share a door: {links}.",
        "Walk from {start} to {goal}.",
    ),
    Setting(
        ("Crete", "Malta", "Corfu", "Capri", "Elba", "Rhodes", "Ibiza", "Samos", "Gozo"),
        "Ferries sail {links}.",
        "With few changes, from {start} to {goal}?",
    ),
    Setting(
        ("Anna", "Boris", "Chen", "Dina", "Emil", "Farah", "Goran", "Hana", "Ivan", "Jana"),
        "Friends: {links}.",
        "Quickest chain of friends from {start} to {goal}?",
    ),
    Setting(
        ("Mars", "Venus", "Titan", "Ceres", "Pluto", "Europa", "Vesta", "Luna", "Saturn"),
        "Space flights: {links}.",
        "Trip from {start} to {goal}?",
    ),
    Setting(
        ("oak", "pond", "well", "mill", "barn", "ford", "tower", "chapel", "bridge", "quarry"),
        "Footpaths join {links}.",
        "Which way from the {start} to the {goal}?",
    ),
)


class ShortRoutes:
    """`TASKS` maps; map i depends on i alone."""

    system_prompt = (
        "Answer with the places in order.\n"
        "Q: Tunnels: den-nest, nest-hive, hive-cave. From den to hive?\nA: den, nest, hive"
    )

    def __len__(self) -> int:
        return TASKS

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Task `index` as `{"question", "answer", "metadata"}`; IndexError outside 0..TASKS-1."""
        if not 0 <= index < TASKS:
            raise IndexError(f"There are tasks 0 to {TASKS - 1}, not {index}.")
        rng = random.Random(index)
        setting = SETTINGS[index % len(SETTINGS)]
        links, start, goal = _map(rng, rng.sample(setting.places, rng.choice(PLACES)))
        told = setting.links.format(links=", ".join("-".join(link) for link in links))
        asked = setting.question.format(start=start, goal=goal)
        route = nx.shortest_path(nx.Graph(links), start, goal)
        return {
            "question": f"Q: {told} {asked}\nA:",
            "answer": ", ".join(route),
            "metadata": {"links": links, "start": start, "goal": goal},
        }

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        """1 for a shortest route, 0.6 for a longer one, up to 0.3 for a right beginning.

        Start and goal need not be named. No place may come twice.
        """
        data = entry["metadata"]
        graph = nx.Graph(data["links"])
        route = _route(answer, graph, data["start"], data["goal"])
        if len(set(route)) < len(route):
            return 0.0
        if nx.is_path(graph, route):
            return 1.0 if len(route) == _hops(graph, route[0], data["goal"]) + 1 else 0.6
        return 0.3 * _begun(graph, route, data["goal"])


def make() -> ShortRoutes:
    """The environment."""
    return ShortRoutes()


def _map(rng: random.Random, places: list[str]) -> tuple[list[tuple[str, str]], str, str]:
    """Shuffled links that connect all places, and two places two or three links apart."""
    while True:
        graph = nx.gnm_random_graph(len(places), len(places), seed=rng.randrange(2**32))
        if not nx.is_connected(graph):
            continue
        links = [rng.sample((places[a], places[b]), 2) for a, b in graph.edges]
        lengths = dict(nx.all_pairs_shortest_path_length(graph))
        apart = [(a, b) for a, b in itertools.permutations(graph, 2) if lengths[a][b] > 1]
        if apart:
            start, goal = rng.choice(apart)
            rng.shuffle(links)
            return [(a, b) for a, b in links], places[start], places[goal]


def _route(answer: str, graph: nx.Graph, start: str, goal: str) -> list[str]:
    """The places named in `answer` from the last mention of the start, from `start` to `goal`.

    What follows a further "Q:" does not belong to the answer.
    """
    names = {place.lower(): place for place in graph}
    said = re.findall(r"[a-z]+", answer.split("\nQ:", maxsplit=1)[0].lower())
    named = [place for place, _ in itertools.groupby(names[word] for word in said if word in names)]
    if start in named:
        named = named[len(named) - named[::-1].index(start) :]
    return [start, *named] if named[-1:] == [goal] else [start, *named, goal]


def _hops(graph: nx.Graph, start: str, goal: str) -> int:
    return int(nx.shortest_path_length(graph, start, goal))


def _begun(graph: nx.Graph, route: list[str], goal: str) -> float:
    """The share of the shortest way that the links at the head of `route` cover."""
    whole = left = _hops(graph, route[0], goal)
    for here, there in itertools.pairwise(route):
        if not graph.has_edge(here, there) or _hops(graph, there, goal) >= left:
            break
        left -= 1
    return (whole - left) / whole
