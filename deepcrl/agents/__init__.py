"""Agents: one file per algorithm, each with `init`, `act` and `update`."""

from ._api import (
    AbstractAgent as AbstractAgent,
    AGENTS as AGENTS,
    AgentSpec as AgentSpec,
    Batch as Batch,
    Hypers as Hypers,
)
from ._crl import (
    ActorMetrics as ActorMetrics,
    AlphaMetrics as AlphaMetrics,
    Critic as Critic,
    CriticMetrics as CriticMetrics,
    CRL as CRL,
    CRLMetrics as CRLMetrics,
    CRLState as CRLState,
)


AGENTS["CRL"] = CRL
