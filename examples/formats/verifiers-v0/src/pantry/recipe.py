"""Scale a recipe: one question, one answer."""

import random

import verifiers as vf
from datasets import Dataset

SYSTEM = "Work it out, then give the number alone between <answer> and </answer>."
FOODS = ["flour", "rice", "lentils", "sugar", "oats"]


def load_recipe(size: int, seed: int) -> vf.Environment:
    parser = vf.XMLParser(["answer"])

    def is_right(completion, answer) -> float:
        return float((parser.parse_answer(completion) or "").strip() == answer)

    rubric = vf.Rubric(
        funcs=[is_right, parser.get_format_reward_func()], weights=[0.9, 0.1], parser=parser
    )
    return vf.SingleTurnEnv(
        dataset=_questions(size, seed), system_prompt=SYSTEM, parser=parser, rubric=rubric
    )


def _questions(size: int, seed: int) -> Dataset:
    draw = random.Random(seed)
    rows = []
    for _ in range(size):
        people, each = draw.randint(2, 6), 10 * draw.randint(3, 15)
        guests = draw.choice([n for n in range(2, 13) if n != people])
        question = (
            f"A recipe for {people} people takes {people * each} g of {draw.choice(FOODS)}. "
            f"How many grams are needed for {guests}?"
        )
        rows.append({"question": question, "answer": str(guests * each)})
    return Dataset.from_list(rows)
