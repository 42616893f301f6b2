"""Runs `.sluice` files: gated networks whose closed gates are work not done. Needs NumPy, never torch."""

from .artifact import Artifact as Artifact
from .artifact import load as load
from .artifact import save as save
from .dense import dense_program as dense_program
from .errors import InputError as InputError
from .errors import RunError as RunError
from .errors import SluicegateError as SluicegateError
from .latency import LatencyTable as LatencyTable
from .latency import measure_latency as measure_latency
from .latency import read_table as read_table
from .prediction import predict as predict
from .program import Op as Op
from .program import Preprocessing as Preprocessing
from .program import Program as Program
from .program import Value as Value
from .reference import run_reference as run_reference
from .result import Result as Result
from .session import Session as Session
from .spec import verify_program as verify_program
from .timing import time_in_turns as time_in_turns
from .timing import time_sessions as time_sessions
