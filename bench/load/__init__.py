"""Performs a load with Locust: users, arrivals, the run, and the servers that a run starts. Only this package uses
Locust.

Importing this package patches the standard library for gevent, as Locust does: import it before ssl or sockets.
"""

import bench.load.patches  # noqa: F401 - first: it patches the standard library
from bench.load.connections import NoRoomError
from bench.load.folder import kept, named_folder, new_folder
from bench.load.keys import fetch_keys
from bench.load.mishaps import MishapError
from bench.load.one_request import send_one
from bench.load.preflight import rehearse
from bench.load.run import Question, run_load
from bench.targets.keys import KeyCommandError, targets_of
from bench.targets.models import ListingError, list_models
from bench.targets.servers import TargetError
from bench.wire.protocols import UnknownApiError

__all__ = [
    "KeyCommandError",
    "ListingError",
    "MishapError",
    "NoRoomError",
    "Question",
    "TargetError",
    "UnknownApiError",
    "fetch_keys",
    "kept",
    "list_models",
    "named_folder",
    "new_folder",
    "rehearse",
    "run_load",
    "send_one",
    "targets_of",
]
