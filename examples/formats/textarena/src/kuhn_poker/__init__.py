"""An opponent for TextArena's Kuhn poker that plays close to an equilibrium."""

import random
import re


def house(observation: str) -> str:
    """The action for what a player has seen of the game, newest last."""
    card = re.findall(r"Your card is: '(\w)'", observation)[-1]
    allowed = observation.rsplit("available actions are", 1)[-1]
    is_bold = card == "K" or (
        random.random() < 1 / 3 and card == ("Q" if "call" in allowed else "J")
    )
    for action in ("call", "bet") if is_bold else ("check", "fold"):
        if f"[{action}]" in allowed:
            return f"[{action}]"
    return "[check]"
