"""Studies of many trials in one storage, which survive the kill of any of their processes."""

from spinscope.tuning.plan import Choice, Config, Space, Span, Whole, key
from spinscope.tuning.studies import free_search, one_at_a_time, pareto_front
from spinscope.tuning.trials import Pruned, Watch

__all__ = [
    "Choice",
    "Config",
    "Pruned",
    "Space",
    "Span",
    "Watch",
    "Whole",
    "free_search",
    "key",
    "one_at_a_time",
    "pareto_front",
]
