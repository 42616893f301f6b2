"""Two kinds of errors: in the caller's input, or in the run itself.

Every message is one line that names the argument, its value and the rule it breaks.
"""


class SluicegateError(Exception):
    """Anything the runtime refuses on purpose."""


class InputError(SluicegateError, ValueError):
    """An argument or a file breaks a rule."""


class RunError(SluicegateError, RuntimeError):
    """A run cannot continue, for example because the engine is missing or memory ran out."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """The message of another library's error, on one line, cut if it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
