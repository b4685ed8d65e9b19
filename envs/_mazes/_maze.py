"""A maze: a grid of cells read from text."""

import dataclasses
import functools as ft
from collections import deque

import numpy as np


Cell = tuple[int, int]
_LEGEND = "'1' wall, '0' free, 'R' start, 'G' goal"


@dataclasses.dataclass(frozen=True)
class Maze:
    """A grid of square cells: `'1'` wall, `'0'` free, `'R'` free and a start, `'G'` free and a goal.

    The cell in row i and column j has its centre at (i, j) times the size of a cell. Hashable.
    """

    rows: tuple[str, ...]
    """The grid, one string per row."""

    @classmethod
    def from_text(cls, text: str) -> "Maze":
        """Reads a grid; rows are separated by line ends or by `/`, blanks around them do not count.

        **Raises:** `ValueError` for a grid that is ragged, not walled in, holds another letter, has no start or no
        goal, or has free cells that cannot be reached from the first start; the message says where.
        """
        if not isinstance(text, str):
            raise TypeError(
                f"A maze is read from one text, such as '11111/1R0G1/11111', rows apart by `/`; got {text!r}."
            )
        return cls(tuple(row.strip() for row in text.strip().replace("/", "\n").splitlines()))

    def __post_init__(self):
        if len(self.rows) < 3:
            raise ValueError(f"A maze needs at least 3 rows, walls included; got {len(self.rows)}: {self.rows}.")
        if not self.rows[0]:
            raise ValueError(f"The rows of a maze must not be empty; row 0 is, in {self.rows}.")
        for i, row in enumerate(self.rows):
            if len(row) != len(self.rows[0]):
                raise ValueError(
                    f"All rows of a maze must be of one length; row 0 has {len(self.rows[0])} cells, "
                    f"row {i} ({row!r}) has {len(row)}."
                )
            for j, letter in enumerate(row):
                if letter not in "10RG":
                    raise ValueError(f"A maze is written with {_LEGEND}; row {i}, column {j} holds {letter!r}.")
        if not (self.walls[[0, -1]].all() and self.walls[:, [0, -1]].all()):
            i, j = next((i, j) for i, j in self.free if i in (0, len(self.rows) - 1) or j in (0, len(self.rows[0]) - 1))
            raise ValueError(
                f"A maze must be walled in, but the outer cell in row {i}, column {j} is free. Make it '1'."
            )
        for letter, what in (("R", "start"), ("G", "goal")):
            if not self.cells(letter):
                raise ValueError(f"A maze needs at least one {what} cell {letter!r}; got {self.rows}.")
        lost = [cell for cell in self.free if self.path_lengths(self.cells("R")[0])[cell] < 0]
        if lost:
            raise ValueError(
                f"Every free cell of a maze must be reachable from its start {self.cells('R')[0]}; these (row, column) "
                f"are not: {lost}. Open a wall, or fill them with '1'."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.rows[0])

    @ft.cached_property
    def walls(self) -> np.ndarray:
        """Boolean, `row col`: is this cell a wall?"""
        return np.array([[letter == "1" for letter in row] for row in self.rows])

    def cells(self, letters: str) -> list[Cell]:
        """The (row, column) of all cells written with one of the letters."""
        return [(i, j) for i, row in enumerate(self.rows) for j, letter in enumerate(row) if letter in letters]

    @property
    def free(self) -> list[Cell]:
        """The (row, column) of all cells that are not walls."""
        return self.cells("0RG")

    def path_lengths(self, start: Cell) -> np.ndarray:
        """Integer, `row col`: steps from cell to cell on the shortest path from `start`; -1 where there is none."""
        lengths = np.full(self.shape, -1)
        lengths[start] = 0
        queue = deque([start])
        while queue:
            i, j = queue.popleft()
            for cell in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                if not self.walls[cell] and lengths[cell] < 0:
                    lengths[cell] = lengths[i, j] + 1
                    queue.append(cell)
        return lengths

    def __str__(self) -> str:
        return "\n".join(self.rows)
