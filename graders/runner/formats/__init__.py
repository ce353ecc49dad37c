"""Environment formats, one adapter each. A new format is a new file and a line here.

Those of a library come first: their objects may have the general shapes, too.
"""

from .base import Adapter
from .dataset import Dataset
from .gem import Gem
from .gymnasium import Gymnasium
from .openenv import OpenEnv
from .reasoning_gym import ReasoningGym
from .skyrl_gym import SkyRLGym
from .textarena import TextArena
from .verifiers_v0 import VerifiersV0
from .verifiers_v1 import VerifiersV1

ADAPTERS: dict[str, type[Adapter]] = {
    one.name: one
    for one in (
        ReasoningGym,
        VerifiersV0,
        VerifiersV1,
        Gem,
        TextArena,
        OpenEnv,
        SkyRLGym,
        Gymnasium,
        Dataset,
    )
}
