"""sluicegate: convolutional networks that compute only what each image needs.

The public names are listed in `__init__.pyi`. Each is imported at first use, because torch takes seconds to import, and
some commands do without.
"""

from importlib.util import find_spec as _find_spec

if _find_spec("torch") is not None:  # without it there is `sluicegate.analysis` alone, for reports on files
    import lazy_loader as _lazy_loader

    __getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
else:

    def __getattr__(name: str) -> object:
        raise AttributeError(f"sluicegate.{name} needs torch, which is not installed; pip install 'sluicegate[train]'")
