"""The money of a film's run: it holds its quote, its jobs draw from that, and what they do not spend goes back to it.

At every moment, whatever fails and is tried again,

    held + reserved by jobs + spent by jobs <= the approved sum

but for a provider that charges more than it said. What is held counts as reserved for the project: where a job reserves
or settles, the project's own sum changes by that, and besides by the change of `held`. Amounts are in millicredits.
"""

from dataclasses import dataclass, replace

from evergreen_server.jobs.model.errors import JobError

__all__ = ["FilmCreditsExceeded", "Held"]


class FilmCreditsExceeded(JobError):
    """What is asked for may cost more than is left of the sum that was approved for a film. In millicredits.

    `left` is below 0 where a sum does not even cover what was spent.
    """

    def __init__(self, *, estimate: int, left: int) -> None:
        over = f"{-left / 1000:g} credits more than the sum are spent or reserved by now"
        needed = f"{estimate / 1000:g} credits may be needed, and {left / 1000:g} are left of the sum that was approved"
        super().__init__(over if left < 0 else needed)
        self.estimate = estimate
        self.left = left


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a run holds, and what its jobs reserve and have spent."""

    approved: int
    """The most that all of it may come to."""
    held: int = 0
    reserved: int = 0
    spent: int = 0
    keeps: bool = True
    """Whether what a job gives back stays with the run, rather than with the project."""

    @property
    def left(self) -> int:
        """Returns what may still be drawn: what is held, and what was approved beyond it."""
        return max(0, self.approved - self.reserved - self.spent)

    def draw(self, estimate: int) -> "Held":
        """Returns the money after a job reserved so much, or so much more. Raises FilmCreditsExceeded."""
        if estimate > self.left:
            raise FilmCreditsExceeded(estimate=estimate, left=self.left)
        return replace(self, held=self.held - min(estimate, self.held), reserved=self.reserved + estimate)

    def adjust(self, more: int) -> "Held":
        """Returns the money after the provider said of a job under way that it costs so much more, or less."""
        if more < 0:
            return self.settle(reserved=-more, charged=0)
        return replace(self, held=self.held - min(more, self.held), reserved=self.reserved + more)

    def settle(self, *, reserved: int, charged: int) -> "Held":
        """Returns the money after a job that had reserved so much was charged.

        A charge above what was reserved is spent nevertheless, and held money pays for it while there is any.
        """
        after = replace(self, reserved=self.reserved - reserved, spent=self.spent + charged)
        if charged > reserved:
            return replace(after, held=max(0, self.held - (charged - reserved)))
        return replace(after, held=self.held + reserved - charged) if self.keeps else after

    def approve(self, approved: int, *, quote: int) -> "Held":
        """Returns the money after a sum was approved, with the quote of all that is still to be made held of it.

        Raises FilmCreditsExceeded if the quote, or what is spent by now, does not fit.
        """
        left = approved - self.reserved - self.spent
        if quote > left:
            raise FilmCreditsExceeded(estimate=quote, left=left)
        return replace(self, approved=approved, keeps=True, held=quote)

    def release(self) -> "Held":
        """Returns the money of a run that makes nothing more."""
        return replace(self, held=0, keeps=False)
