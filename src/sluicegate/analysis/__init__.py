"""What trained gates did: statistics as arrays and data frames, and their figures.

The public names are listed in `__init__.pyi`. Each is imported at first use, because pandas and Altair take a second to
import, and most commands need neither.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
