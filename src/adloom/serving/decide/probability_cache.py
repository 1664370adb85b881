"""The last probabilities of each question, and how long the model takes."""

from adloom.arrays import Float64Array
from adloom.serving.api.decide_schemas import MAX_CANDIDATES
from adloom.serving.decide.micro_batcher import MAX_BATCH

CACHE_SIZE = 100_000  # probabilities, of all questions together
SMOOTHING = 0.1  # weight of the last latency in the estimate


class ProbabilityCache:
    """
    The last probabilities of each question, at most `size` of them.

    Keys are salted hashes of 64 bits: comparing ids would cost more than the model.
    """

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._room = self._half = size // 2
        self._young: dict[int, Float64Array] = {}  # arrays, because many float objects are slow to free
        self._old: dict[int, Float64Array] = {}  # evicted together when the young ones take half of the size

    def get(self, key: int, candidates: int) -> Float64Array | None:
        """Return probabilities (candidates,), if known."""
        cached = self._young.get(key, self._old.get(key))
        return cached if cached is not None and len(cached) == candidates else None

    def put(self, key: int, probabilities: Float64Array) -> None:
        """Remember probabilities (candidates,)."""
        self._room -= len(probabilities)
        if self._room < 0:
            self._young, self._old, self._room = {}, self._young, self._half - len(probabilities)
        self._young[key] = probabilities


class LatencyEstimator:
    """The model's recent latency by number of candidates."""

    def __init__(self) -> None:
        self._seconds = [0.0] * ((MAX_CANDIDATES * MAX_BATCH).bit_length() + 1)

    def estimate(self, candidates: int) -> float:
        """Return the expected seconds."""
        return self._seconds[candidates.bit_length()]

    def observe(self, candidates: int, seconds: float) -> None:
        """Update the estimate; a skipped call counts as 0 seconds, so the model is tried again."""
        bucket = candidates.bit_length()
        self._seconds[bucket] += SMOOTHING * (seconds - self._seconds[bucket])
