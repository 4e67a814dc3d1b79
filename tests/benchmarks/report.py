"""What a benchmark has to say: a table, and whether each figure reaches what it should."""

import math
from dataclasses import KW_ONLY, dataclass, field


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
    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reaches: list[Reach] = field(default_factory=list)

    @property
    def is_met(self) -> bool:
        return all(reach.is_met for reach in self.reaches)

    def __str__(self) -> str:
        table = [self.header, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.header))]
        lines = ["  ".join(_aligned(cell, width) for cell, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join([*lines, "", *self.notes, "", *map(str, self.reaches)])


def _aligned(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)
