"""A contrastive loss of one's own."""

import deepcrl
from deepcrl.losses import AbstractContrastiveLoss, InfoNCE


@deepcrl.register
class Tempered(AbstractContrastiveLoss):
    temperature: float = 1.0
    inner: AbstractContrastiveLoss = InfoNCE()

    def __call__(self, logits):
        return self.inner(logits / self.temperature)
