"""Pure-functional networks, per sample: vmap them over a batch."""

from ._blocks import BroNetBlock as BroNetBlock, ResidualBlock as ResidualBlock, SimbaBlock as SimbaBlock
from ._distribution import TanhGaussian as TanhGaussian
from ._layers import (
    dense as dense,
    DenseLayer as DenseLayer,
    norm_swish as norm_swish,
    RoundedLinear as RoundedLinear,
    SphericalLinear as SphericalLinear,
    SphericalNorm as SphericalNorm,
)
from ._networks import (
    DeterministicPolicy as DeterministicPolicy,
    Encoder as Encoder,
    GaussianPolicy as GaussianPolicy,
    GoalEncoder as GoalEncoder,
    parameter_count as parameter_count,
    StateActionEncoder as StateActionEncoder,
)
from ._residual import ResidualTrunk as ResidualTrunk
from ._trunk import blocks_of_depth as blocks_of_depth, Trunk as Trunk
from ._twin import TwinCritic as TwinCritic
