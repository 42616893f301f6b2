"""What can go wrong: the runtime's errors, so that one `except` serves both packages."""

from sluicegate_runtime.errors import InputError as InputError
from sluicegate_runtime.errors import RunError as RunError
from sluicegate_runtime.errors import SluicegateError as SluicegateError
from sluicegate_runtime.errors import one_line as one_line
