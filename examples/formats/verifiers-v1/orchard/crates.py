"""Crates that can be opened."""

import verifiers.v1 as vf


class OrchardState(vf.State):
    opened: int = 0


class Crates(vf.Toolset[vf.ToolsetConfig, OrchardState]):
    async def setup_task(self, task) -> None:
        self.counts = task.crates

    @vf.tool
    def open_crate(self, letter: str) -> str:
        """Open a crate and count its apples. `letter` names the crate."""
        if letter not in self.counts:
            raise ValueError(f"There is no crate {letter}.")
        self.state.opened += 1
        return f"Crate {letter} holds {self.counts[letter]} apples."


if __name__ == "__main__":
    Crates.run()
