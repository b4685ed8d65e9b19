"""Agents: one file per algorithm, each with `init`, `act` and `update`; and the parts that they are made of."""

from .._hypers import Hypers as Hypers, lane_depth as lane_depth, lane_number as lane_number
from .._registry import register
from ._acting import AbstractActing as AbstractActing, BestOf as BestOf, Mode as Mode, Sample as Sample
from ._api import AbstractAgent as AbstractAgent, AgentSpec as AgentSpec
from ._cloning import CloningMetrics as CloningMetrics, CloningState as CloningState, GCBC as GCBC, GCSL as GCSL
from ._crl import (
    Critic as Critic,
    CriticMetrics as CriticMetrics,
    CRL as CRL,
    CRLMetrics as CRLMetrics,
    CRLState as CRLState,
)
from ._optim import AbstractOptimizer as AbstractOptimizer, Adam as Adam, polyak as polyak
from ._random import Random as Random, RandomMetrics as RandomMetrics, RandomState as RandomState
from ._sac import SAC as SAC, SACMetrics as SACMetrics, SACState as SACState
from ._settings import active_blocks as active_blocks, check_settings as check_settings, network_sizes as network_sizes
from ._soft import (
    ActorMetrics as ActorMetrics,
    AlphaMetrics as AlphaMetrics,
    gaussian_action as gaussian_action,
    soft_step as soft_step,
)
from ._td import bootstrap_targets as bootstrap_targets, critic_step as critic_step, TDMetrics as TDMetrics
from ._td3 import PolicyMetrics as PolicyMetrics, TD3 as TD3, TD3Metrics as TD3Metrics, TD3State as TD3State


for _agent in (CRL, SAC, TD3, GCBC, GCSL, Random):
    register(_agent)
register(Sample, "stochastic")
register(Mode, "deterministic")
register(BestOf, "best_of")
register(Adam, "adam")
