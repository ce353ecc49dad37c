"""The data alone, for those that have no verifiers."""

SYSTEM = "Answer with the number alone."


def rows(count: int) -> list[dict[str, str]]:
    """Questions with their answers. Every so often the answer is 42."""
    pairs = [(number % 25, number % 40) for number in range(count)]
    return [{"question": f"What is {a} + {b}?", "answer": str(a + b)} for a, b in pairs]
