"""Names of energies and losses, for configs and the command line; inside the library they are objects."""

from .._registry import register
from ._contrastive import BackwardInfoNCE, BinaryNCE, FlatNCE, InfoNCE, SymmetricInfoNCE
from ._energies import CosineEnergy, DotEnergy, L1Energy, MRNEnergy, NormEnergy, SquaredL2Energy


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
