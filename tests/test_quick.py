"""`make test` runs the first cases of a long test, `make test-all` all of them."""

from quick import mark_broad

pytest_plugins = ("pytester",)

TESTS = """
import pytest

@pytest.mark.cases(2)
@pytest.mark.parametrize("n", range(5))
def test_long(n): ...

@pytest.mark.parametrize("n", range(3))
def test_short(n): ...

@pytest.mark.broad
def test_whole(): ...
"""


def test_cases_after_the_first_are_broad(pytester):
    pytester.makeini("[pytest]\nmarkers =\n  broad\n  cases(n)\n")
    items = pytester.getitems(TESTS)
    mark_broad(items)
    quick = [item.name for item in items if item.get_closest_marker("broad") is None]
    assert quick == ["test_long[0]", "test_long[1]", "test_short[0]", "test_short[1]", "test_short[2]"]
