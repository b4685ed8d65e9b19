"""Energies, contrastive losses and parts of temporal-difference learning, each with its formula and source."""

from . import _registry as _registry
from ._contrastive import (
    AbstractContrastiveLoss as AbstractContrastiveLoss,
    BackwardInfoNCE as BackwardInfoNCE,
    BinaryNCE as BinaryNCE,
    contrastive_metrics as contrastive_metrics,
    ContrastiveMetrics as ContrastiveMetrics,
    FlatNCE as FlatNCE,
    InfoNCE as InfoNCE,
    logsumexp_penalty as logsumexp_penalty,
    SymmetricInfoNCE as SymmetricInfoNCE,
)
from ._energies import (
    AbstractEnergy as AbstractEnergy,
    CosineEnergy as CosineEnergy,
    DotEnergy as DotEnergy,
    L1Energy as L1Energy,
    MRNEnergy as MRNEnergy,
    NormEnergy as NormEnergy,
    SquaredL2Energy as SquaredL2Energy,
)
from ._td import (
    smoothed_action as smoothed_action,
    soft_value as soft_value,
    td_loss as td_loss,
    td_target as td_target,
)
