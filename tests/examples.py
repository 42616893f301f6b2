"""How many examples a property test draws: few as a rule, `SLUICEGATE_EXAMPLES` times as many for a thorough run."""

import os

from hypothesis import HealthCheck, settings

_TIMES = float(os.environ.get("SLUICEGATE_EXAMPLES", "1"))


def examples(count: int) -> settings:
    """`@examples(10)` above a property test."""
    return settings(
        max_examples=max(1, round(count * _TIMES)), suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
