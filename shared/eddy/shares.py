"""Divides a limited resource among callers, so that none of them can take all of it."""


class FairShares:
    """At most `limit` units in use, of which a caller may hold `factor` times what is free.

    This is the dynamic threshold that switches use for buffers. With factor 1 one busy caller gets half of the limit, two get a third each;
    with factor 4 one gets four fifths, two get four ninths each. A part always stays free for the next one. Memory is bounded by what is in
    use: a caller that holds nothing is forgotten.
    """

    def __init__(self, limit: float, factor: float = 1.0) -> None:
        self.limit = limit
        self._factor = factor
        self.used = 0.0
        self._held: dict[str, float] = {}

    @property
    def callers(self) -> int:
        """Number of callers that hold something."""
        return len(self._held)

    def held_by(self, caller: str) -> float:
        """Units that a caller holds."""
        return self._held.get(caller, 0.0)

    def fits(self, caller: str, amount: float = 1.0) -> bool:
        """Whether a caller may take `amount`: it would then hold no more than its share of what is free."""
        free = self.limit - self.used
        return amount <= free and self.held_by(caller) + amount <= self._factor * free

    def take(self, caller: str, amount: float = 1.0) -> bool:
        """Take `amount` for a caller if it fits; whether it was taken."""
        if not self.fits(caller, amount):
            return False
        self._held[caller] = self.held_by(caller) + amount
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
