"""What a benchmark has to say, each line as soon as it is known: a table, and whether each figure reaches its mark."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial

say = partial(print, flush=True)


@dataclass(frozen=True)
class Reach:
    """One promise about a figure."""

    what: str
    figure: float
    unit: str
    _: KW_ONLY
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def is_met(self) -> bool:
        return self.at_least <= self.figure <= self.at_most

    def __str__(self) -> str:
        bound = f"at most {self.at_most:.3g}" if math.isfinite(self.at_most) else f"at least {self.at_least:.3g}"
        return f"{'met' if self.is_met else 'MISSED':6}  {self.what}: {self.figure:.3g} {self.unit} ({bound})"


@dataclass
class Report:
    """A table whose rows are told as they come, with the marks between them."""

    header: tuple[str, ...]
    tell: Callable[[str], None] = say
    missed: list[Reach] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.add(*self.header)

    @property
    def is_met(self) -> bool:
        return not self.missed

    def __str__(self) -> str:
        return "\n".join(["Every mark is met." if self.is_met else "Missed:", *map(str, self.missed)])

    def add(self, *row: str) -> None:
        widths = [max(len(name), 10) for name in self.header]
        self.tell("  ".join(_aligned(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def note(self, words: str) -> None:
        self.tell(words)

    def reach(self, reach: Reach) -> None:
        self.tell(str(reach))
        if not reach.is_met:
            self.missed.append(reach)


def _aligned(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)
