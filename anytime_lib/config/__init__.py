"""What is to be run, and how is that written down?"""

from anytime_lib.config.flat import FLAT, check_url
from anytime_lib.config.groups import (
    AnalysisConfig,
    EndpointConfig,
    HeldOutConfig,
    LimitsConfig,
    PoolConfig,
    SamplingConfig,
    TaskConfig,
)
from anytime_lib.config.notebook import Parameters
from anytime_lib.config.run import RunConfig, in_words, parameter_names, read_yaml

__all__ = [
    "FLAT",
    "AnalysisConfig",
    "EndpointConfig",
    "HeldOutConfig",
    "LimitsConfig",
    "Parameters",
    "PoolConfig",
    "RunConfig",
    "SamplingConfig",
    "TaskConfig",
    "check_url",
    "in_words",
    "parameter_names",
    "read_yaml",
]
