"""Names of energies and losses, for configs and the command line; inside the library they are objects."""

from .._registry import as_part, register
from ._contrastive import (
    AbstractContrastiveLoss,
    BackwardInfoNCE,
    BinaryNCE,
    FlatNCE,
    InfoNCE,
    SymmetricInfoNCE,
)
from ._energies import AbstractEnergy, CosineEnergy, DotEnergy, L1Energy, MRNEnergy, NormEnergy, SquaredL2Energy


register(NormEnergy, "norm")
register(SquaredL2Energy, "l2_squared")
register(L1Energy, "l1")
register(DotEnergy, "dot")
register(CosineEnergy, "cosine")
register(MRNEnergy, "mrn")

register(InfoNCE, "infonce")
register(BackwardInfoNCE, "backward_infonce")
register(SymmetricInfoNCE, "symmetric_infonce")
register(BinaryNCE, "binary_nce")
register(FlatNCE, "flatnce")


def energy_from_name(energy: str | AbstractEnergy) -> AbstractEnergy:
    """The energy of that name; an energy object is returned as it is. **Raises** `ValueError` for an unknown name."""
    return as_part("energy", AbstractEnergy, energy)


def loss_from_name(loss: str | AbstractContrastiveLoss) -> AbstractContrastiveLoss:
    """The contrastive loss of that name; a loss object is returned as it is. **Raises** `ValueError` for an unknown
    name."""
    return as_part("loss", AbstractContrastiveLoss, loss)
