from ._api import AbstractEngine as AbstractEngine, PhysicsState as PhysicsState
from ._engines import ENGINES as ENGINES, EngineName as EngineName, make_engine as make_engine
