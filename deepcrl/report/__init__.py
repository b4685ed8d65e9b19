"""Pictures of runs. Needs matplotlib: `pip install 'deepcrl[plots]'`."""

from ._curves import plot_learning_curve as plot_learning_curve
from ._maze import plot_maze as plot_maze, value_map as value_map
from ._render import (
    draw_frames as draw_frames,
    find_renderer as find_renderer,
    save_contact_sheet as save_contact_sheet,
    save_film as save_film,
    simulate as simulate,
)
