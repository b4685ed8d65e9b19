"""Tables and pictures of runs. Pictures need matplotlib."""

from ._cells import plot_cells as plot_cells, visits_by_cell as visits_by_cell
from ._compare import plot_groups as plot_groups
from ._curves import plot_learning_curve as plot_learning_curve
from ._film_maze import draw_maze_frames as draw_maze_frames
from ._groups import Group as Group, group_lanes as group_lanes
from ._maze import plot_maze as plot_maze
from ._render import (
    draw_frames as draw_frames,
    find_renderer as find_renderer,
    save_contact_sheet as save_contact_sheet,
    save_film as save_film,
    simulate as simulate,
)
from ._runs import differing_settings as differing_settings, load_runs as load_runs
from ._trajectories import plot_trajectories as plot_trajectories
from ._values import (
    distance_ranks as distance_ranks,
    DistanceRanks as DistanceRanks,
    goal_map as goal_map,
    plot_goal_values as plot_goal_values,
    value_map as value_map,
)
