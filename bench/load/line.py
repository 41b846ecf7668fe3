"""Locust's connection between master and workers, closed to everybody else on the machine.

The messages are Locust's own, over CurveZMQ (RFC 26): only who knows the master's public key can shake hands with it.
The key is new for every run, and our workers are told it on their standard input; what others send to the port is
dropped by ZeroMQ before Locust sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

import zmq.green as zmq
from locust.env import Environment
from locust.rpc.zmqrpc import BaseSocket
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import RequestStats
from zmq import curve_keypair

HOST = "127.0.0.1"
LARGEST = 1_000_000  # bytes of a message; ours have a few hundred
HANDSHAKE_MS = 2000  # then a connection that has not shown the key is closed


@dataclass(frozen=True, slots=True)
class Line:
    """Where a run's master listens, and what a worker has to know to be let in."""

    port: int
    key: bytes


class MasterEnd(BaseSocket):
    """What Locust's rpc.Server is, with a lock."""

    def __init__(self) -> None:
        super().__init__(zmq.ROUTER, ipv4_only=True)  # type: ignore[no-untyped-call]  # Locust's
        key, secret = curve_keypair()
        self.socket.curve_server = True
        self.socket.curve_publickey, self.socket.curve_secretkey = key, secret
        self.socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        self.socket.setsockopt(zmq.LINGER, 0)  # a worker that is gone takes nothing more
        self.port = self.socket.bind_to_random_port(f"tcp://{HOST}")
        self.line = Line(self.port, key)


class WorkerEnd(BaseSocket):
    """What Locust's rpc.Client is, with the key."""

    def __init__(self, line: Line, identity: str) -> None:
        super().__init__(zmq.DEALER, ipv4_only=True)  # type: ignore[no-untyped-call]  # Locust's
        self.socket.curve_publickey, self.socket.curve_secretkey = curve_keypair()
        self.socket.curve_serverkey = line.key
        self.socket.setsockopt(zmq.IDENTITY, identity.encode())
        self.socket.setsockopt(zmq.LINGER, 1000)  # ms that a last message has to leave
        self.socket.connect(f"tcp://{HOST}:{line.port}")


class LineWorker(WorkerRunner):
    """Locust's worker runner on our line."""

    def __init__(self, environment: Environment, line: Line) -> None:
        self._line = line
        super().__init__(environment, HOST, line.port)

    def connect_to_master(self) -> None:
        """Before a word is said, the connection is replaced by ours."""
        if not isinstance(self.client, WorkerEnd):
            self.client.close(linger=0)  # type: ignore[no-untyped-call]  # Locust's
            self.client = WorkerEnd(self._line, self.client_id)  # type: ignore[assignment]  # says the same words
        super().connect_to_master()  # type: ignore[no-untyped-call]  # Locust's


def master_on_line(environment: Environment) -> tuple[MasterRunner, Line]:
    """Locust's master runner on a line of its own; its greenlets have not run yet when its connection is replaced."""
    master = environment.create_master_runner(HOST, 0)
    master.server.close(linger=0)  # type: ignore[no-untyped-call]  # Locust's
    end = MasterEnd()
    master.server = end  # type: ignore[assignment]  # says the same words
    return master, end.line


def worker_on_line(environment: Environment, line: Line) -> WorkerRunner:
    """Locust's worker runner, connected to its master."""
    environment.stats = RequestStats(use_response_times_cache=False)  # as Locust makes them for its workers
    worker = environment.runner = LineWorker(environment, line)
    return worker
