"""Agents: one file per algorithm, each with `init`, `act` and `update`."""

from ._api import (
    AbstractAgent as AbstractAgent,
    AGENTS as AGENTS,
    AgentSpec as AgentSpec,
    Batch as Batch,
    Hypers as Hypers,
    Outcome as Outcome,
)
from ._crl import (
    Critic as Critic,
    CriticMetrics as CriticMetrics,
    CRL as CRL,
    CRLMetrics as CRLMetrics,
    CRLState as CRLState,
)
from ._soft import ActorMetrics as ActorMetrics, AlphaMetrics as AlphaMetrics


AGENTS["CRL"] = CRL
