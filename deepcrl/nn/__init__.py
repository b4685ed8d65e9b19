"""Pure-functional networks, per sample: vmap them over a batch."""

from ._activations import (
    AbstractActivation as AbstractActivation,
    GELU as GELU,
    ReLU as ReLU,
    Swish as Swish,
)
from ._blocks import (
    AbstractBlock as AbstractBlock,
    BroNetBlock as BroNetBlock,
    Chain as Chain,
    PaperBlock as PaperBlock,
    SimbaBlock as SimbaBlock,
)
from ._distribution import TanhGaussian as TanhGaussian
from ._layers import DenseLayer as DenseLayer, LayerSpec as LayerSpec
from ._linear import dense as dense
from ._networks import (
    DeterministicPolicy as DeterministicPolicy,
    Encoder as Encoder,
    GaussianPolicy as GaussianPolicy,
    GoalEncoder as GoalEncoder,
    parameter_count as parameter_count,
    StateActionEncoder as StateActionEncoder,
)
from ._norms import (
    AbstractNorm as AbstractNorm,
    HypersphericalNorm as HypersphericalNorm,
    LayerNorm as LayerNorm,
    NoNorm as NoNorm,
    RMSNorm as RMSNorm,
)
from ._residual import ResidualTrunk as ResidualTrunk
from ._spec import blocks_of_depth as blocks_of_depth, BlockSpec as BlockSpec
from ._twin import TwinCritic as TwinCritic
