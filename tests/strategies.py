"""Hypothesis strategies shared by the tests: shapes from small sets (they compile), values at will."""

import hypothesis.strategies as st


NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1))


@st.composite
def mazes(draw, heights=(3, 4, 6, 9), widths=(4, 5, 8)):
    """Texts of valid mazes: random walls, of which one connected part is kept, with random letters on it."""
    height, width = draw(st.sampled_from(heights)), draw(st.sampled_from(widths))
    inside = [(i, j) for i in range(1, height - 1) for j in range(1, width - 1)]
    start = draw(st.sampled_from(inside))
    goal = draw(st.sampled_from([cell for cell in _beside(start) if cell in inside]))
    free = {cell for cell in inside if draw(st.booleans())} | {start, goal}

    part, frontier = {start}, [start]
    while frontier:
        new = [cell for cell in _beside(frontier.pop()) if cell in free and cell not in part]
        part.update(new)
        frontier.extend(new)

    letters = {cell: draw(st.sampled_from("0RG")) for cell in sorted(part)} | {start: "R", goal: "G"}
    return "/".join("".join(letters.get((i, j), "1") for j in range(width)) for i in range(height))


def _beside(cell):
    return [(cell[0] + i, cell[1] + j) for i, j in NEIGHBOURS]
