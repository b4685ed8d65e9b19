"""Depth on a laptop: contrastive RL with shallow and deep networks in a maze whose far corner is close as the crow flies.

    python recipes/depth_on_a_laptop.py --scale laptop --out runs/depth

trains every depth and seed as lanes of one program, and the scale `brief` half as long; `parts` trains networks where only
the actor or only the critic is deep, `widths` wide ones as a control, and `full` all of it with more depths. Killed at any
instant, the same command goes on. In the folder: the runs, `results.csv` (a row per lane and evaluation), `results.json`
(final figures with intervals, differences to the first network, settings, versions) and pictures: curves and final figures
of each set; success and visits by cell, the critic's values seen from the start, and trajectories to the farthest goal, of
the first and the last network of the first set (seed 0).

Training episodes start in any free cell, evaluations where the maze has its `R`: what is compared is what networks make of
experience that has the whole maze in it. With `--set env_options.starts=R` training starts there too, and finding the far
cells is part of the task. With `--set random_goals=0.5` half of the goals that the policy learns for are of other
trajectories, which the paper does not have. `--set env=point_giant_maze` trains the same on another maze.
"""

from pathlib import Path

from deepcrl.experiments import main


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".toml"), __doc__)
