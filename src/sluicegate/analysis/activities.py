"""What each gate did: always open, always closed, or decided by the image.

    activity = "always on"    where open for at least 99 % of the images
               "always off"   where open for at most 1 %
               "conditional"  else

(batch shaping, Fig. 5: "if they are on/off for more than 99% of the inputs"; GaterNet, Fig. 2 and 6, asks for 100 %.)

Legend: G gates of all sites.
"""

import numpy as np

ALWAYS = 0.99
"""A gate that is open for at least this share of the images counts as always on; always off, for at most the rest."""

ACTIVITIES = ("always on", "conditional", "always off")


def activity(rates: np.ndarray) -> np.ndarray:
    """[G] open rates -> [G] of `ACTIVITIES`.

    Example:
        >>> activity(np.array([1.0, 0.5, 0.0])).tolist()
        ['always on', 'conditional', 'always off']
    """
    return np.where(rates >= ALWAYS, ACTIVITIES[0], np.where(rates <= 1 - ALWAYS, ACTIVITIES[2], ACTIVITIES[1]))
