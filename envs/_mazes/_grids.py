"""The grids of the paper's mazes (R start, G goal, 1 wall, 0 free), and two larger ones and an open room of our own.

A `_eval` grid keeps the walls of its maze and only the far goals. The published code has two evaluation grids for the
big maze: `big_maze_eval`, the ant's, has nine goals; `big_maze_eval_ten`, the humanoid's, one more, nearer to the start.
"""

from ._maze import Maze


_GRIDS = {
    "u_maze": """
        11111
        1RGG1
        111G1
        1GGG1
        11111
    """,
    "u_maze_eval": """
        11111
        1R001
        11101
        1GGG1
        11111
    """,
    "u_maze_single": """
        11111
        1R001
        11101
        1G001
        11111
    """,
    "u2_maze": """
        111111
        1RGGG1
        1111G1
        1GGGG1
        111111
    """,
    "u2_maze_eval": """
        111111
        1R0001
        111101
        1GGGG1
        111111
    """,
    "u3_maze": """
        1111111
        1RGGGG1
        11111G1
        1GGGGG1
        1111111
    """,
    "u3_maze_eval": """
        1111111
        1R00001
        1111101
        1GGGGG1
        1111111
    """,
    "u3_maze_single": """
        1111111
        1R00001
        1111101
        1G00001
        1111111
    """,
    "u4_maze": """
        11111
        1GGG1
        1R1G1
        111G1
        1G1G1
        1GGG1
        11111
    """,
    "u4_maze_eval": """
        11111
        10001
        1R101
        11101
        1G101
        1GGG1
        11111
    """,
    "u5_maze": """
        11111111
        1GGGGGG1
        1R1111G1
        111111G1
        1G1111G1
        1GGGGGG1
        11111111
    """,
    "u5_maze_eval": """
        11111111
        10000001
        1R111101
        11111101
        1G1111G1
        1GGGGGG1
        11111111
    """,
    "u5_maze_single": """
        11111111
        10000001
        1R111101
        11111101
        1G111101
        10000001
        11111111
    """,
    "u6_maze": """
        1111111
        1GGGGG1
        1R111G1
        11111G1
        1G111G1
        1GGGGG1
        1111111
    """,
    "u6_maze_eval": """
        1111111
        1000001
        1R11101
        1111101
        1G111G1
        1GGGGG1
        1111111
    """,
    "u7_maze": """
        111111
        1GGGG1
        1R11G1
        1111G1
        1G11G1
        1GGGG1
        111111
    """,
    "u7_maze_eval": """
        111111
        100001
        1R1101
        111101
        1G11G1
        1GGGG1
        111111
    """,
    "big_maze": """
        11111111
        1RG11GG1
        1GG1GGG1
        11GGG111
        1GG1GGG1
        1G1GG1G1
        1GGG1GG1
        11111111
    """,
    "big_maze_eval": """
        11111111
        1R011GG1
        100100G1
        11000111
        10010001
        101G01G1
        10GG1GG1
        11111111
    """,
    "big_maze_eval_ten": """
        11111111
        1R011GG1
        10010GG1
        11000111
        10010001
        101G01G1
        10GG1GG1
        11111111
    """,
    "hardest_maze": """
        111111111111
        1RGGG1GGGGG1
        1G11G1G1G1G1
        1GGGGGG1GGG1
        1G1111G111G1
        1GG1G1GGGGG1
        11G1G1G1G111
        1GG1GGG1GGG1
        111111111111
    """,
    "u_maze_eval_1f2f3f4f5f": """
        11111
        1RGG1
        111G1
        10GG1
        11111
    """,
    "u_maze_eval_1f2f3f4f": """
        11111
        1RGG1
        111G1
        100G1
        11111
    """,
    "u_maze_eval_1f2f3f": """
        11111
        1RGG1
        111G1
        10001
        11111
    """,
    "u_maze_eval_5f6f": """
        11111
        1R001
        11101
        1GG01
        11111
    """,
    "medium_maze": """
        1111111111111
        1RGG1GGGGGGG1
        111G11GG1G1G1
        1G1GGGGG1G1G1
        1G11111G1G1G1
        1GGGGGGG1G1G1
        1G1G111GGG1G1
        1G1G1GGG1G1G1
        1G1G1G11111G1
        1G1GGGGGGGGG1
        1111111111111
    """,
    "medium_maze_eval": """
        1111111111111
        1R001000000G1
        11101100101G1
        1G1000001G1G1
        1G1111101G1G1
        1GGG00001G1G1
        1G1G1110001G1
        1G1G1G001G1G1
        1G1G1G11111G1
        1G1GGGGGGGGG1
        1111111111111
    """,
    "giant_maze": """
        111111111111111111111
        1R1GGG1GGGGGGG1GGGGG1
        1G1G111G1G1G1G1G111G1
        1G1GGGGG1G1G1GGG1G1G1
        1G1111111G1G11G11G1G1
        1GGG1GGGGG1GGGGGGG1G1
        1G1G1G11111G111G111G1
        1G1GGG1GGG1GGG1G1GGG1
        1G11G11G1G1G1G111G111
        1GGGGGGG1GGG1GGG1GGG1
        1G111G111G11111G1G1G1
        1G1GGG1GGGGGGG1G1G1G1
        1GGG111G1G1G1G1G1G1G1
        1G1GGGGGGGGG1G1GGGGG1
        111111111111111111111
    """,
    "giant_maze_eval": """
        111111111111111111111
        1R1GGG100000001GGGGG1
        101G11101010101G111G1
        101GGG0010101GGG1G1G1
        10111111101011G11G1G1
        10001000001GGGGGGG1G1
        101010111110111G111G1
        1010001000100G1G1GGG1
        1011011010101G111G111
        1000000010001GGG1GGG1
        101110111011111G1G1G1
        1010001000000G1G1G1G1
        1000111010101G1G1G1G1
        1010000000001G1GGGGG1
        111111111111111111111
    """,
    "room": """
        1111111
        1GGGGG1
        1GGGGG1
        1GGRGG1
        1GGGGG1
        1GGGGG1
        1111111
    """,
}

MAZES: dict[str, Maze] = {name: Maze.from_text(text) for name, text in _GRIDS.items()}
