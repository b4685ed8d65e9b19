"""The grids of the paper's mazes against its table, and the reader of mazes from text."""

import re

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from strategies import mazes


def steps(first, last):
    return list(range(first, last + 1))


# Name: size, wall cells, start cell, shortest path lengths to the goals (the table of the paper's mazes).
TABLE = {
    "u_maze": ((5, 5), 18, (1, 1), steps(1, 6)),
    "u_maze_eval": ((5, 5), 18, (1, 1), steps(4, 6)),
    "u_maze_single": ((5, 5), 18, (1, 1), [6]),
    "u_maze_eval_1f2f3f4f5f": ((5, 5), 18, (1, 1), steps(1, 5)),
    "u_maze_eval_1f2f3f4f": ((5, 5), 18, (1, 1), steps(1, 4)),
    "u_maze_eval_1f2f3f": ((5, 5), 18, (1, 1), steps(1, 3)),
    "u_maze_eval_5f6f": ((5, 5), 18, (1, 1), steps(5, 6)),
    "u2_maze": ((5, 6), 21, (1, 1), steps(1, 8)),
    "u2_maze_eval": ((5, 6), 21, (1, 1), steps(5, 8)),
    "u3_maze": ((5, 7), 24, (1, 1), steps(1, 10)),
    "u3_maze_eval": ((5, 7), 24, (1, 1), steps(6, 10)),
    "u3_maze_single": ((5, 7), 24, (1, 1), [10]),
    "u4_maze": ((7, 5), 24, (2, 1), steps(1, 10)),
    "u4_maze_eval": ((7, 5), 24, (2, 1), steps(7, 10)),
    "u5_maze": ((7, 8), 39, (2, 1), steps(1, 16)),
    "u5_maze_eval": ((7, 8), 39, (2, 1), steps(9, 16)),
    "u5_maze_single": ((7, 8), 39, (2, 1), [16]),
    "u6_maze": ((7, 7), 34, (2, 1), steps(1, 14)),
    "u6_maze_eval": ((7, 7), 34, (2, 1), steps(8, 14)),
    "u7_maze": ((7, 6), 29, (2, 1), steps(1, 12)),
    "u7_maze_eval": ((7, 6), 29, (2, 1), steps(7, 12)),
}
# The larger ones: size, wall cells, goals, then mean (one decimal), least and greatest path length.
LARGE = {
    "big_maze": ((8, 8), 38, 25, 6.4, 1, 11),
    "big_maze_eval": ((8, 8), 38, 9, None, 8, 11),
    "big_maze_eval_ten": ((8, 8), 38, 10, None, 7, 11),
    "hardest_maze": ((9, 12), 62, 45, 9.1, 1, 15),
}
ROWS = {
    "big_maze": "11111111/1RG11GG1/1GG1GGG1/11GGG111/1GG1GGG1/1G1GG1G1/1GGG1GG1/11111111",
    "big_maze_eval": "11111111/1R011GG1/100100G1/11000111/10010001/101G01G1/10GG1GG1/11111111",
    "big_maze_eval_ten": "11111111/1R011GG1/10010GG1/11000111/10010001/101G01G1/10GG1GG1/11111111",
    "hardest_maze": "111111111111/1RGGG1GGGGG1/1G11G1G1G1G1/1GGGGGG1GGG1/1G1111G111G1/1GG1G1GGGGG1/11G1G1G1G111/"
    "1GG1GGG1GGG1/111111111111",
}

MALFORMED = {
    "ragged": ("111/1R11/1G1/111", r"row 0 has 3 cells, row 1 \('1R11'\) has 4"),
    "blank row": ("1111/1RG1//1111", r"row 0 has 4 cells, row 2 \(''\) has 0"),
    "unknown letter": ("11111/1R0G1/1x001/11111", r"row 2, column 1 holds 'x'"),
    "small letter": ("11111/1r0G1/11111", r"row 1, column 1 holds 'r'"),
    "blank inside a row": ("11111/1R G1/11111", r"row 1, column 2 holds ' '"),
    "open top": ("11011/1R0G1/11111", r"walled in.* row 0, column 2 is free"),
    "open bottom": ("11111/1R0G1/1111G", r"walled in.* row 2, column 4 is free"),
    "open left": ("11111/RR0G1/11111", r"walled in.* row 1, column 0 is free"),
    "open right": ("11111/1R0GG/11111", r"walled in.* row 1, column 4 is free"),
    "no start": ("11111/100G1/11111", r"at least one start cell 'R'"),
    "no goal": ("11111/1R001/11111", r"at least one goal cell 'G'"),
    "no free cell": ("111/111/111", r"at least one start cell 'R'"),
    "unreachable goal": ("11111/1R1G1/11111", r"reachable from its start \(1, 1\).*\[\(1, 3\)\]"),
    "unreachable free cells": ("111111/1RG111/111101/111111", r"\[\(2, 4\)\]"),
    "unreachable second start": ("11111/1RG11/11111/1R111/11111", r"\[\(3, 1\)\]"),
    "empty": ("", r"at least 3 rows, walls included; got 0"),
    "blank": (" \n \n", r"at least 3 rows, walls included; got 0"),
    "one row": ("1RG1", r"at least 3 rows, walls included; got 1"),
    "two rows": ("1111/1RG1", r"at least 3 rows, walls included; got 2"),
}


@pytest.mark.parametrize("name", TABLE)
def test_corridors_match_the_table(name):
    from deepcrl.envs import MAZES

    shape, num_walls, start, lengths = TABLE[name]
    maze = MAZES[name]
    assert maze.shape == maze.walls.shape == shape
    assert maze.walls.sum() == num_walls
    assert maze.cells("R") == [start]
    from_start = maze.path_lengths(start)
    assert sorted(int(from_start[cell]) for cell in maze.cells("G")) == lengths


@pytest.mark.parametrize("name", LARGE)
def test_large_mazes_match_the_table(name):
    from deepcrl.envs import Maze, MAZES

    shape, num_walls, num_goals, mean, least, greatest = LARGE[name]
    maze = MAZES[name]
    assert maze == Maze.from_text(ROWS[name])
    assert maze.shape == shape
    assert maze.walls.sum() == num_walls
    assert maze.cells("R") == [(1, 1)]
    lengths = [int(maze.path_lengths((1, 1))[cell]) for cell in maze.cells("G")]
    assert (len(lengths), min(lengths), max(lengths)) == (num_goals, least, greatest)
    assert mean is None or round(float(np.mean(lengths)), 1) == mean


def test_the_training_grids_of_the_table_have_no_free_cell_without_a_letter():
    # Otherwise training would command other goals than the paper's.
    from deepcrl.envs import MAZES

    names = [name for name in (*TABLE, *LARGE) if "eval" not in name and "single" not in name]
    assert len(names) == 9
    assert {name: MAZES[name].cells("0") for name in names} == {name: [] for name in names}


def test_the_room_has_no_walls_inside_and_starts_in_its_middle():
    from deepcrl.envs import MAZES

    room = MAZES["room"]
    assert room.shape == (7, 7)
    assert not room.walls[1:-1, 1:-1].any()
    assert room.cells("R") == [(3, 3)]
    assert len(room.cells("G")) == len(room.free) - 1 == 24


def test_eval_grids_keep_the_walls_and_the_start_and_only_some_goals():
    from deepcrl.envs import MAZES

    variants = [name for name in MAZES if "_eval" in name or name.endswith("_single")]
    assert len(variants) >= 17
    for name in variants:
        maze, base = MAZES[name], MAZES[re.sub("_(eval|single).*", "", name)]
        assert np.array_equal(maze.walls, base.walls), name
        assert maze.cells("R") == base.cells("R"), name
        assert set(maze.cells("G")) < set(base.cells("G")), name


def test_plain_eval_grids_keep_the_far_goals():
    from deepcrl.envs import MAZES

    for name in (name for name in MAZES if name.endswith("_eval")):
        maze, base = MAZES[name], MAZES[name.removesuffix("_eval")]
        from_start = base.path_lengths(base.cells("R")[0])
        assert np.mean([from_start[c] for c in maze.cells("G")]) > np.mean([from_start[c] for c in base.cells("G")]), (
            name
        )


@pytest.mark.parametrize("text, message", MALFORMED.values(), ids=MALFORMED)
def test_malformed_mazes_are_refused(text, message):
    from deepcrl.envs import Maze

    with pytest.raises(ValueError, match=message):
        Maze.from_text(text)
    with pytest.raises(ValueError, match=message):
        Maze.from_text(text.replace("/", "\n"))


def test_a_maze_of_empty_rows_is_refused_for_its_rows_being_empty():
    # Not by "needs at least 3 rows; got 3".
    from deepcrl.envs import Maze

    with pytest.raises(ValueError) as caught:
        Maze(("", "", ""))
    assert "got 3" not in str(caught.value)


def test_slashes_and_line_ends_agree():
    from deepcrl.envs import Maze

    maze = Maze(("11111", "1R0G1", "11111"))
    assert Maze.from_text("11111/1R0G1/11111") == maze
    assert Maze.from_text("11111\n1R0G1\n11111") == maze
    assert Maze.from_text("11111\r\n1R0G1\r\n11111\r\n") == maze
    assert Maze.from_text("\n    11111\n    1R0G1  \n\t11111\n\n") == maze
    assert Maze.from_text(" 11111 / 1R0G1 / 11111 ") == maze
    assert Maze.from_text(str(maze)) == maze


def test_mazes_are_hashable_values():
    from deepcrl.envs import Maze, MAZES

    maze, other = Maze.from_text("11111/1R0G1/11111"), Maze.from_text("11111/1RGG1/11111")
    assert maze.walls.any()  # cached on the object: must change neither hash nor equality
    twin = Maze.from_text(str(maze))
    assert {maze: 1}[twin] == 1
    assert maze != other
    assert len(set(MAZES.values())) == len(MAZES)  # no grid twice
    with pytest.raises(AttributeError):
        maze.rows = other.rows


def test_cells_are_row_and_column():
    from deepcrl.envs import Maze

    maze = Maze.from_text("1111111/1R00011/11110G1/1111111")
    assert maze.shape == (4, 7)
    assert maze.cells("R") == [(1, 1)]
    assert maze.cells("G") == [(2, 5)]
    assert maze.cells("RG") == [(1, 1), (2, 5)]
    assert maze.free == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 4), (2, 5)]
    assert not maze.walls[2, 5]
    assert maze.walls[1, 5]


@given(text=mazes())
def test_path_lengths_match_scipy(text):
    from deepcrl.envs import Maze

    maze = Maze.from_text(text)
    assert str(maze) == text.replace("/", "\n")
    index = {cell: n for n, cell in enumerate(maze.free)}
    edges = [(index[i, j], index[k]) for i, j in index for k in ((i + 1, j), (i, j + 1)) if k in index]
    graph = scipy.sparse.coo_array((np.ones(len(edges)), np.array(edges).T), (len(index), len(index)))
    expected = scipy.sparse.csgraph.shortest_path(graph.tocsr(), directed=False, unweighted=True)
    for start, row in index.items():
        lengths = maze.path_lengths(start)
        assert np.issubdtype(lengths.dtype, np.integer)
        assert (lengths[maze.walls] == -1).all()
        assert [lengths[cell] for cell in index] == expected[row].tolist()
