"""What every test stands on. tests/runtime also runs where neither torch nor hypothesis is installed."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from quick import mark_broad

if find_spec("hypothesis"):
    import hypothesis

    # A loaded machine is slow, which is no fault of the code under test.
    hypothesis.settings.register_profile("sluicegate", deadline=None)
    hypothesis.settings.load_profile("sluicegate")

if find_spec("torch"):
    import with_torch

    with_torch.set_up()


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_broad(items)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets, `$SLUICEGATE_DATA`; the test is skipped where there is none."""
    root = os.environ.get("SLUICEGATE_DATA")
    if not root:
        pytest.skip("SLUICEGATE_DATA is not set: no real images here")
    if not Path(root).is_dir():
        pytest.skip(f"SLUICEGATE_DATA: {root!r} is not a folder")
    return Path(root)
