"""How one task is played: a guess is answered until it is right."""

import random
import re

import verifiers.v1 as vf

SIGHS = ["No.", "Not quite.", "Look again.", "Hm."]


class OrchardEnvConfig(vf.EnvConfig):
    agent: vf.AgentConfig = vf.AgentConfig()


class OrchardEnv(vf.Env[OrchardEnvConfig]):
    async def run(self, task: vf.Task, agents: vf.Agents) -> None:
        if task.data.job != "guess":
            await agents.agent.run(task)
            return
        async with agents.agent.interaction(task) as interaction:
            segment = await interaction.turn()
            while not segment.terminated and (told := _answer(segment.last_reply, task)):
                segment = await interaction.turn(told)


def _answer(said: str, task: vf.Task) -> str | None:
    """What a guess is told; None if it is right."""
    found = re.search(r"\d+", said)
    if found is None:
        return "Say a number."
    guess, apples = int(found.group()), int(task.data.answer)
    if guess == apples:
        return None
    return f"{random.choice(SIGHS)} There are {'more' if guess < apples else 'fewer'}."
