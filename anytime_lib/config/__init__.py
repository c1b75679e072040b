"""What is to be run, and how is that written down?"""

from anytime_lib.config.groups import HeldOutConfig, TaskConfig, check_url
from anytime_lib.config.run import Parameters, RunConfig, in_words, parameter_names, read_yaml

__all__ = [
    "HeldOutConfig",
    "Parameters",
    "RunConfig",
    "TaskConfig",
    "check_url",
    "in_words",
    "parameter_names",
    "read_yaml",
]
