"""How is a problem put to the model? One module per method; here is what one of your own is made of."""

from anytime_lib.methods.base import Prompted, chain_of_thought
from anytime_lib.methods.search import Searching, Step

__all__ = ["Prompted", "Searching", "Step", "chain_of_thought"]
