"""Runs `.sluice` files: gated networks whose closed gates are work not done. Needs NumPy, never torch."""

from .artifact import Artifact as Artifact
from .artifact import load_program as load_program
from .artifact import loads_program as loads_program
from .artifact import save_program as save_program
from .channels import ChannelRun as ChannelRun
from .channels import channel_runs as channel_runs
from .errors import InputError as InputError
from .errors import RunError as RunError
from .errors import SluicegateError as SluicegateError
from .latency import LatencyTable as LatencyTable
from .measure import measure_latency as measure_latency
from .ops import attributes_of as attributes_of
from .plain import without_gates as without_gates
from .prediction import predict as predict
from .program import Op as Op
from .program import Preprocessing as Preprocessing
from .program import Program as Program
from .program import Value as Value
from .program import channel_flags as channel_flags
from .reference import run_reference as run_reference
from .result import Result as Result
from .session import Session as Session
from .spec import verify_program as verify_program
from .timing import benchmark as benchmark
from .timing import time_sessions as time_sessions
