"""What agents learn from in one update."""

import equinox as eqx
from jaxtyping import Array, Bool, Float


class NextStep(eqx.Module):
    """What a step led to, as agents that bootstrap need it; one sample of it has no leading axis."""

    observation: Float[Array, "*batch obs"]
    """What was seen after the step; at the end of an episode, what was seen last in it."""
    reward: Float[Array, "*batch"]
    """Of the step, as the replay rule has it."""
    terminated: Bool[Array, "*batch"]
    """Did the task end the episode at this step? (An end by the clock is none: values go on behind it.)"""


class Batch(eqx.Module):
    """Steps and goals; one sample of it has no leading axis."""

    observation: Float[Array, "*batch obs"]
    """What was seen before the step."""
    action: Float[Array, "*batch action"]
    """The action taken, in [-1, 1]."""
    goal: Float[Array, "*batch goal"]
    """The goal: one achieved later, or the commanded one, as the replay rule has it."""
    next: NextStep | None = None
    """What the step led to, if the replay rule has a reward."""
