"""Jobs in a pantry: one turn, several turns, tools, or a mixture."""

import verifiers as vf

from .recipe import load_recipe
from .scales import load_scales
from .shelf import load_shelf

JOBS = {"recipe": load_recipe, "shelf": load_shelf, "scales": load_scales}


def load_environment(job: str = "any", size: int = 100, seed: int = 0) -> vf.Environment:
    """One job; or `size` tasks of each, first all of the one, then all of the next."""
    if job == "any":
        return vf.EnvGroup([load(size, seed) for load in JOBS.values()], env_names=list(JOBS))
    return JOBS[job](size, seed)
