"""What can go wrong, in two kinds: the caller's input, or the run itself.

Every message is one line that names the argument, its value and the rule it breaks.
"""


class SluicegateError(Exception):
    """Anything the library refuses on purpose; the command line prints it as one line."""


class InputError(SluicegateError, ValueError):
    """An argument breaks a rule (exit status 2)."""


class RunError(SluicegateError, RuntimeError):
    """A run could not go on: a NaN loss, an unreadable checkpoint (exit status 1)."""
