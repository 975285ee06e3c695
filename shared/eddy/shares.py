"""Divides a limited resource among callers, so that none of them can take all of it."""


class FairShares:
    """At most `limit` units in use, of which a caller may hold no more than are free (a dynamic threshold, as switches use for buffers).

    One busy caller gets half of the limit, two get a third each, and a part always stays free for the next one. Memory is bounded by what
    is in use: a caller that holds nothing is forgotten.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.used = 0.0
        self._held: dict[str, float] = {}

    @property
    def callers(self) -> int:
        """Number of callers that hold something."""
        return len(self._held)

    def held_by(self, caller: str) -> float:
        """Units that a caller holds."""
        return self._held.get(caller, 0.0)

    def take(self, caller: str, amount: float = 1.0) -> bool:
        """Take `amount` for a caller, unless it would then hold more than is free; whether it was taken."""
        held = self.held_by(caller) + amount
        if held > self.limit - self.used:
            return False
        self._held[caller] = held
        self.used += amount
        return True

    def give_back(self, caller: str, amount: float = 1.0) -> None:
        """Return what `take` took."""
        held = self._held[caller] - amount
        if held > 0:
            self._held[caller] = held
        else:
            del self._held[caller]
        self.used = self.used - amount if self._held else 0.0
