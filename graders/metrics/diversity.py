"""How diverse an environment's tasks are, from its prompts and their embeddings.

`X` is an (n, d) array of n embeddings; rows are scaled to unit length here, so any non-zero scale
will do.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from graders.metrics.intervals import Estimate, Method, quantile_t

RAREFIED_TO = 128
NEAR_DUPLICATE = 0.7
GRAM = 3
_BLOCK = 256

Floats = NDArray[np.float64]

# A run of word characters; or one sign, or one character of a script that has no spaces.
_WORD = re.compile(r"[^\W\u3040-\u30ff\u3400-\u9fff]+|\S")


@dataclass(frozen=True)
class NearDuplicates:
    """Which prompts nearly repeat another.

    Attributes:
        flags: for each prompt, in order, whether another is at least as similar as the threshold.
        pairs: for each flagged prompt (i, j, Jaccard similarity), j being the one most like it.
        rate: share of the prompts that are flagged, 0 to 1; 0 of no prompts.
    """

    flags: tuple[bool, ...]
    pairs: tuple[tuple[int, int, float], ...]
    rate: float


@dataclass(frozen=True)
class DiversityReport:
    """How diverse the prompts of one environment are.

    Attributes:
        prompts: how many were compared (n).
        kappa: mean squared cosine of two prompts, 0 to 1; None with fewer than 2 prompts.
        vs2: VS2@128, from 1 (all alike) to 128 (all unrelated); None as for kappa.
        near_duplicate_rate: share of prompts that nearly repeat another; None as for kappa. It can
            only grow with n, so it compares only environments of which equally many were seen.
        reason: why something is None, else empty.
    """

    prompts: int
    kappa: Estimate | None
    vs2: Estimate | None
    near_duplicate_rate: float | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The report in JSON's own types."""
        return asdict(self)


def summarise(embeddings: ArrayLike, near_duplicates: Sequence[bool]) -> DiversityReport:
    """Report on n prompts from their (n, d) embeddings and their `NearDuplicates.flags`."""
    flags = list(near_duplicates)
    if len(flags) < 2:
        reason = f"Diversity compares prompts, and there are fewer than 2 ({len(flags)})."
        return DiversityReport(len(flags), None, None, None, reason)
    spread = kappa_estimate(embeddings)
    if spread.tasks != len(flags):
        raise ValueError(f"There are {spread.tasks} embeddings for {len(flags)} prompts.")
    return DiversityReport(
        prompts=len(flags),
        kappa=spread,
        vs2=vs2_estimate(spread),
        near_duplicate_rate=sum(flags) / len(flags),
    )


def kappa(embeddings: ArrayLike) -> float:
    """The mean of cos(x_i, x_j)^2 over i != j, an unbiased estimate of it for two random prompts.

    From the d x d Gram matrix in O(n d^2): the squares of all n^2 cosines sum to ||X^T X||_F^2, of
    which the n of a prompt with itself are 1 each. Needs n >= 2.
    """
    return float(_similar_mass(_unit(embeddings)).mean())


def kappa_estimate(embeddings: ArrayLike) -> Estimate:
    """`kappa` with its delete-one jackknife t interval, clipped to [0, 1].

    Leaving out prompt i changes the sum by its cosines with the others alone, so all n
    leave-one-out values come from one pass. Of 2 prompts nothing is known of the spread.
    """
    mass = _similar_mass(_unit(embeddings))
    n, value = len(mass), float(mass.mean())
    if n == 2:
        return Estimate(value, 0.0, 1.0, Method.WHOLE_RANGE, n)
    left_out = (mass.sum() - 2 * mass) / (n - 2)
    error = math.sqrt((n - 1) / n * float(np.square(left_out - left_out.mean()).sum()))
    half = quantile_t(n - 1) * error
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), Method.JACKKNIFE, n)


def vs2(kappa_value: float, at: int = RAREFIED_TO) -> float:
    """VS2@at = at / (1 + (at-1) kappa), the effective number of distinct prompts among `at`.

    The order-2 Vendi score of n unit vectors is n^2 / ||X^T X||_F^2 (the RKE of Ospanov & Farnia
    2024, arXiv 2410.21719); with the expected squared cosine off the diagonal and n = at it
    becomes this, whatever number of prompts kappa came from.
    """
    return at / (1 + (at - 1) * kappa_value)


def vs2_estimate(spread: Estimate, at: int = RAREFIED_TO) -> Estimate:
    """VS2@at of a kappa: it falls as kappa grows, so the interval's ends change places."""
    low, high = vs2(spread.high, at), vs2(spread.low, at)
    return Estimate(vs2(spread.value, at), low, high, spread.method, spread.tasks)


def vendi(kernel: ArrayLike, q: float = 1.0) -> float:
    """The Vendi score of order q >= 0 of an (n, n) similarity matrix with a diagonal of ones.

    exp of the Renyi entropy of order q of the eigenvalues of K/n (Friedman & Dieng 2023; Pasarkar
    & Dieng 2024), between 1 and n. It depends on n, so it compares samples of one size only.
    """
    similarities = np.asarray(kernel, dtype=float)
    weights = np.linalg.eigvalsh(similarities / len(similarities))
    weights = weights[weights > 1e-12]
    if q == 1:
        return float(np.exp(-(weights * np.log(weights)).sum()))
    if math.isinf(q):
        return float(1 / weights.max())
    return float((weights**q).sum() ** (1 / (1 - q)))


def near_duplicates(prompts: Sequence[str], threshold: float = NEAR_DUPLICATE) -> NearDuplicates:
    """Prompts whose word 3-grams have a Jaccard similarity of at least `threshold` with another's.

    Words are taken without case, signs count as words ("3 + 4" is not "3 - 4"), and a prompt of
    fewer than 3 words is one gram. Exact, by sparse products of some rows at a time: memory grows
    with n, time with n^2 where most prompts share grams (about 10 000 prompts are practical).
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"A similarity threshold is in (0, 1], not {threshold}.")
    pairs = tuple(
        (row, other, similarity)
        for row, other, similarity in _nearest(_incidence(prompts))
        if similarity >= threshold
    )
    flagged = {row for row, _, _ in pairs}
    flags = tuple(row in flagged for row in range(len(prompts)))
    return NearDuplicates(flags, pairs, len(pairs) / len(prompts) if prompts else 0.0)


def _unit(embeddings: ArrayLike) -> Floats:
    vectors: Floats = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise ValueError(f"Kappa needs an (n, d) array with n >= 2, not shape {vectors.shape}.")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError("An embedding is zero or not finite.")
    unit: Floats = vectors / lengths
    return unit


def _similar_mass(unit: Floats) -> Floats:
    """For each prompt, the mean squared cosine with the n-1 others; shape (n,)."""
    squares = np.einsum("ij,ij->i", unit @ (unit.T @ unit), unit) - 1.0
    mass: Floats = np.clip(squares / (len(unit) - 1), 0.0, 1.0)
    return mass


def _grams(prompt: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(prompt.casefold())
    if len(words) < GRAM:
        return {tuple(words)}
    return set(zip(*(words[start:] for start in range(GRAM)), strict=False))


def _incidence(prompts: Sequence[str]) -> sparse.csr_array:
    """Which prompt (row) has which gram (column), as ones."""
    columns: dict[tuple[str, ...], int] = {}
    indices: list[int] = []
    ends = [0]
    for prompt in prompts:
        indices += (columns.setdefault(gram, len(columns)) for gram in _grams(prompt))
        ends.append(len(indices))
    ones = np.ones(len(indices), dtype=np.int32)
    return sparse.csr_array((ones, indices, ends), shape=(len(prompts), max(1, len(columns))))


def _nearest(incidence: sparse.csr_array) -> Iterator[tuple[int, int, float]]:
    """For each row that shares a gram with another: (row, the most similar other, Jaccard)."""
    sizes = np.diff(incidence.indptr)
    transposed = incidence.T.tocsr()
    for start in range(0, incidence.shape[0], _BLOCK):
        shared = (incidence[start : start + _BLOCK] @ transposed).tocsr()
        for offset, (first, last) in enumerate(
            zip(shared.indptr[:-1], shared.indptr[1:], strict=True)
        ):
            row, others, common = (
                start + offset,
                shared.indices[first:last],
                shared.data[first:last],
            )
            jaccard = common / (sizes[row] + sizes[others] - common)
            jaccard[others == row] = 0.0
            if jaccard.any():
                best = int(jaccard.argmax())
                yield row, int(others[best]), float(jaccard[best])
