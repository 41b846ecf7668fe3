"""Locust's connection between master and workers, protected from everybody else on the machine.

The messages are Locust's own, over CurveZMQ (RFC 26): a peer needs the master's public key for the handshake. The key
is new for every load, and the workers get it on their standard input. ZeroMQ drops everything that others send to the
port before Locust sees it.
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
HANDSHAKE_MS = 2000  # a connection that has not proved the key by then is closed


@dataclass(frozen=True, slots=True)
class MasterAddress:
    """The address of a run's master, and the key that a worker needs to connect."""

    port: int
    key: bytes


class LocustSocket(BaseSocket):
    """Locust's socket, which ends its thread, too, when it is closed."""

    def close(self, linger: int | None = None) -> None:
        """Send what is left, for as long as the socket lingers, and close."""
        super().close(linger)  # type: ignore[no-untyped-call]  # Locust's
        self.socket.context.term()


class MasterSocket(LocustSocket):
    """Locust's rpc.Server with encryption."""

    def __init__(self) -> None:
        super().__init__(zmq.ROUTER, ipv4_only=True)  # type: ignore[no-untyped-call]  # Locust's
        key, secret = curve_keypair()
        self.socket.curve_server = True
        self.socket.curve_publickey, self.socket.curve_secretkey = key, secret
        self.socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        self.socket.setsockopt(zmq.LINGER, 0)  # do not wait for a worker that is gone
        self.port = self.socket.bind_to_random_port(f"tcp://{HOST}")
        self.address = MasterAddress(self.port, key)


class WorkerSocket(LocustSocket):
    """Locust's rpc.Client with the master's key."""

    def __init__(self, address: MasterAddress, identity: str) -> None:
        super().__init__(zmq.DEALER, ipv4_only=True)  # type: ignore[no-untyped-call]  # Locust's
        self.socket.curve_publickey, self.socket.curve_secretkey = curve_keypair()
        self.socket.curve_serverkey = address.key
        self.socket.setsockopt(zmq.IDENTITY, identity.encode())
        self.socket.setsockopt(zmq.LINGER, 1000)  # ms to send the last message when the socket is closed
        self.socket.connect(f"tcp://{HOST}:{address.port}")


class EncryptedWorkerRunner(WorkerRunner):
    """Locust's worker runner on an encrypted socket."""

    def __init__(self, environment: Environment, address: MasterAddress) -> None:
        self._address = address
        super().__init__(environment, HOST, address.port)

    def connect_to_master(self) -> None:
        """Replace Locust's socket by ours before the first message."""
        if not isinstance(self.client, WorkerSocket):
            self.client.close(linger=0)  # type: ignore[no-untyped-call]  # Locust's
            self.client = WorkerSocket(self._address, self.client_id)  # type: ignore[assignment]  # the same methods
        super().connect_to_master()  # type: ignore[no-untyped-call]  # Locust's


def create_master(environment: Environment) -> tuple[MasterRunner, MasterAddress]:
    """Locust's master runner on an encrypted socket, and its address. The socket is replaced before any greenlet of the
    runner has run."""
    master = environment.create_master_runner(HOST, 0)
    master.server.close(linger=0)  # type: ignore[no-untyped-call]  # Locust's
    socket = MasterSocket()
    master.server = socket  # type: ignore[assignment]  # the same methods
    return master, socket.address


def close_master(master: MasterRunner) -> None:
    """End the runner and its connection. Its own `quit` waits half a second for reports that nobody needs."""
    master.stop(send_stop_to_client=False)
    master.greenlet.kill(block=True)
    master.server.close()  # type: ignore[no-untyped-call]  # Locust's


def close_worker(worker: WorkerRunner) -> None:
    """End the runner and its connection once its last message is sent."""
    worker.quit()
    worker.client.close()  # type: ignore[no-untyped-call]  # Locust's


def create_worker(environment: Environment, address: MasterAddress) -> WorkerRunner:
    """Locust's worker runner, connected to its master."""
    environment.stats = RequestStats(use_response_times_cache=False)  # as Locust does for its workers
    worker = environment.runner = EncryptedWorkerRunner(environment, address)
    return worker
