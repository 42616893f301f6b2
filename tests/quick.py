"""Which cases `make test` leaves to `make test-all`."""

from collections import Counter
from collections.abc import Iterable

import pytest


def mark_broad(items: Iterable[pytest.Item]) -> None:
    """Mark `broad` what comes after the first n cases of each test that is marked `cases(n)`."""
    seen: Counter[str] = Counter()
    for item in items:
        cases = item.get_closest_marker("cases")
        if cases is None:
            continue
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        if seen[test] > cases.args[0]:
            item.add_marker("broad")
