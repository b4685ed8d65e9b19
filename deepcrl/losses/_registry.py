"""Names of energies and losses, for configs and the command line; inside the library they are objects."""

from .._errors import did_you_mean
from ._contrastive import (
    AbstractContrastiveLoss,
    BackwardInfoNCE,
    BinaryNCE,
    FlatNCE,
    InfoNCE,
    SymmetricInfoNCE,
)
from ._energies import AbstractEnergy, CosineEnergy, DotEnergy, L1Energy, MRNEnergy, NormEnergy, SquaredL2Energy


ENERGIES: dict[str, type[AbstractEnergy]] = {
    "norm": NormEnergy,
    "l2_squared": SquaredL2Energy,
    "l1": L1Energy,
    "dot": DotEnergy,
    "cosine": CosineEnergy,
    "mrn": MRNEnergy,
}
LOSSES: dict[str, type[AbstractContrastiveLoss]] = {
    "infonce": InfoNCE,
    "backward_infonce": BackwardInfoNCE,
    "symmetric_infonce": SymmetricInfoNCE,
    "binary_nce": BinaryNCE,
    "flatnce": FlatNCE,
}


def energy_from_name(energy: str | AbstractEnergy) -> AbstractEnergy:
    """The energy of that name; an energy object is returned as it is. **Raises** `ValueError` for an unknown name."""
    if isinstance(energy, AbstractEnergy):
        return energy
    if energy not in ENERGIES:
        raise ValueError(f"`energy` must name a known energy, got {energy!r}. {did_you_mean(str(energy), ENERGIES)}")
    return ENERGIES[energy]()


def loss_from_name(loss: str | AbstractContrastiveLoss) -> AbstractContrastiveLoss:
    """The contrastive loss of that name; a loss object is returned as it is. **Raises** `ValueError` for an unknown
    name."""
    if isinstance(loss, AbstractContrastiveLoss):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"`loss` must name a known contrastive loss, got {loss!r}. {did_you_mean(str(loss), LOSSES)}")
    return LOSSES[loss]()
