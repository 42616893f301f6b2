"""What can go wrong, in two kinds: the caller's input, or the run itself.

Every message is one line that names the argument, its value and the rule it breaks.
"""


class SluicegateError(Exception):
    """Anything the runtime refuses on purpose."""


class InputError(SluicegateError, ValueError):
    """An argument or a file breaks a rule."""


class RunError(SluicegateError, RuntimeError):
    """A run could not go on: the engine is missing, memory ran out."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """What another library's error says, on one line, cut where it runs on."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
