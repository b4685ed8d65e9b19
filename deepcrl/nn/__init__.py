"""Pure-functional networks, per sample: vmap them over a batch."""

from ._distribution import TanhGaussian as TanhGaussian
from ._networks import (
    Encoder as Encoder,
    GaussianPolicy as GaussianPolicy,
    GoalEncoder as GoalEncoder,
    parameter_count as parameter_count,
    StateActionEncoder as StateActionEncoder,
)
from ._residual import (
    blocks_of_depth as blocks_of_depth,
    dense as dense,
    DenseLayer as DenseLayer,
    ResidualBlock as ResidualBlock,
    ResidualTrunk as ResidualTrunk,
)
