"""sluicegate: convolutional networks that compute only what each image needs.

The public names are listed in `__init__.pyi`. Each is imported at first use, because torch takes seconds to import, and
some commands do without.
"""

import lazy_loader

_imported, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    try:
        return _imported(name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise AttributeError(
            f"sluicegate.{name} needs torch, which is not installed; pip install 'sluicegate[train]'"
        ) from None
