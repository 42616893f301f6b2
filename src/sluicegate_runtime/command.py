"""How a command ends: with an exit status and, if it is not 0, one line on standard error."""

import os
import sys
from collections.abc import Callable

from .errors import InputError, SluicegateError, one_line

OUTPUT_CLOSED = 1
INTERRUPTED = 130  # 128 and the number of the signal, as shells count


def exit_status(command: Callable[[], int | None]) -> int:
    """Run a command. Returns its own status (None is 0), 2 if its input is refused, or 1 if it failed."""
    try:
        status = command()
        sys.stdout.flush()
        return status or 0
    except SluicegateError as error:
        complain(error)
        return 2 if isinstance(error, InputError) else 1
    except BrokenPipeError:  # for example `... | head -1`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that closing it at exit says nothing
        return OUTPUT_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED


def complain(error: Exception) -> None:
    """One line on standard error."""
    print(f"sluicegate: error: {one_line(error, limit=10_000)}", file=sys.stderr)
