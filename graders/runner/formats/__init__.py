"""Environment formats, one adapter each. A new format is a new file and a line here."""

from .base import Adapter
from .dataset import Dataset
from .gymnasium import Gymnasium

ADAPTERS: dict[str, type[Adapter]] = {one.name: one for one in (Gymnasium, Dataset)}
