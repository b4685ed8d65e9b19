"""Pictures of runs. Needs matplotlib: `pip install 'deepcrl[plots]'`."""

from ._curves import plot_learning_curve as plot_learning_curve
from ._maze import plot_maze as plot_maze, value_map as value_map
