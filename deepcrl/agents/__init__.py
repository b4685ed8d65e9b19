"""Agents: one file per algorithm, each with `init`, `act` and `update`."""

from .._registry import register
from ._api import (
    AbstractAgent as AbstractAgent,
    Actor as Actor,
    AgentSpec as AgentSpec,
    Batch as Batch,
    Hypers as Hypers,
    Outcome as Outcome,
)
from ._cloning import CloningMetrics as CloningMetrics, CloningState as CloningState, GCBC as GCBC, GCSL as GCSL
from ._collector import WithCollector as WithCollector, WithCollectorState as WithCollectorState
from ._crl import (
    Critic as Critic,
    CriticMetrics as CriticMetrics,
    CRL as CRL,
    CRLMetrics as CRLMetrics,
    CRLState as CRLState,
)
from ._normalizer import (
    RunningStatistics as RunningStatistics,
    WithNormalizer as WithNormalizer,
    WithNormalizerState as WithNormalizerState,
)
from ._random import Random as Random, RandomMetrics as RandomMetrics, RandomState as RandomState
from ._sac import SAC as SAC, SACMetrics as SACMetrics, SACState as SACState
from ._soft import ActorMetrics as ActorMetrics, AlphaMetrics as AlphaMetrics
from ._td import TDMetrics as TDMetrics
from ._td3 import PolicyMetrics as PolicyMetrics, TD3 as TD3, TD3Metrics as TD3Metrics, TD3State as TD3State


for _agent in (CRL, SAC, TD3, GCBC, GCSL, Random, WithCollector, WithNormalizer):
    register(_agent)
