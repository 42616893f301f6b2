"""How torch's threads wait for one another: asleep, unless OMP_WAIT_POLICY says otherwise.

OpenMP reads the variable once, when torch loads, so this is imported first. By its default the threads spin; where
other processes want the cores too, one that spins holds up the one that it waits for: on two shared cores an epoch of
the demo took 1.4 s asleep, and 2 to 41 s spinning.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
