"""From a scenario's target to the objects that send requests there: caller and transports. Also checks that the system
allows enough connections."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
from gevent.event import Event

from bench.load.arms import ArmTransports
from bench.load.caller import Caller, Retries
from bench.load.mishaps import Mishaps
from bench.load.record_builder import RunClock
from bench.load.webhooks import Listener
from bench.plan import Scenario, secrets
from bench.plan.expenses import Expenses
from bench.plan.media import Media
from bench.plan.redaction import Scrub, Scrubber, scrubber
from bench.targets.envelope import context_for, provider
from bench.wire.bounds import Bounds, Timeouts
from bench.wire.clock import KernelClock
from bench.wire.deferred import WorkQueue
from bench.wire.transport import HttpxTransport, KernelTransport, Transport, Watchable

Urls = Mapping[str | None, str]
"""The URL of each arm of a scenario, by the arm's name; None is the key for requests without an arm."""

OTHER_DESCRIPTORS = 64  # file descriptors that a process needs in addition to its connections


class NoRoomError(Exception):
    """A limit of the system is too low for the load; the message says which one and what to do."""


def scrub_for(scenario: Scenario) -> Scrubber:
    """The function that removes the scenario's secrets from a text that is written or printed."""
    return scrubber(secrets(scenario), public=(*scenario.models, *(request.name for request in scenario.requests)))


def caller_for(scenario: Scenario, urls: Urls, seed: int, started: float, scrub: Scrub) -> Caller:
    """The caller that sends the scenario's requests. Times in records count from `started`, monotonic s. `scrub` is
    that of the scenario."""
    main = _caller(scenario, urls[None], seed, started, scrub)
    arms = {
        name: replace(
            _caller(arm, urls[name], seed, started, main.provider.scrub),
            clock=main.clock,
            given_up=main.given_up,
            mishaps=main.mishaps,
            listener=main.listener,
        )
        for name, arm in scenario.arms.items()
    }
    budget = scenario.allowance
    return replace(main, arms=arms, expenses=None if budget is None else Expenses(budget, scenario))


def _caller(scenario: Scenario, url: str, seed: int, started: float, scrub: Scrub) -> Caller:
    timeouts, retries = scenario.timeouts, scenario.retries
    return Caller(
        provider=provider(scenario.target, url, scrub),
        timeouts=Timeouts(
            connect=timeouts.connect, first_token=timeouts.first_token, gap=timeouts.gap, total=timeouts.total
        ),
        retries=Retries()
        if retries is None
        else Retries(
            attempts=retries.attempts,
            backoff=retries.backoff,
            max_backoff=retries.max_backoff,
            obey_retry_after=retries.obey_retry_after,
        ),
        clock=RunClock(started),
        seed=seed,
        given_up=Event(),
        mishaps=Mishaps(scrub),
        listener=Listener(scenario.webhook) if wants_webhooks(scenario) else None,
        terminator_optional=scenario.target.terminator == "optional",
        keep_bodies=scenario.keep_bodies,
    )


def wants_webhooks(scenario: Scenario) -> bool:
    return any(isinstance(request, Media) and request.result == "webhook" for request in scenario.requests)


def transports(scenario: Scenario, clock: KernelClock) -> Callable[[], Transport]:
    """The function that makes a new transport for all arms of the scenario."""
    queue = WorkQueue()
    plain = _transports(scenario, clock, queue)
    if not scenario.arms:
        return plain
    arms = {name: _transports(arm, clock, queue) for name, arm in scenario.arms.items()}
    return lambda: ArmTransports(plain(), {name: new() for name, new in arms.items()})


def transport_for(scenario: Scenario, clock: KernelClock, arm: str | None) -> Watchable:
    """A transport for requests of one arm alone; `arm` is None where the scenario has none."""
    return _transports(scenario if arm is None else scenario.arms[arm], clock, WorkQueue())()


def _transports(scenario: Scenario, clock: KernelClock, queue: WorkQueue) -> Callable[[], Watchable]:
    """The function that makes a new transport: httpx's own if the scenario asks for a proxy or HTTP/2."""
    target, bounds = scenario.target, Bounds(head=scenario.bounds.head, answer=scenario.bounds.answer)
    context = partial(context_for, target)
    if target.http2 or target.proxy is not None:
        return lambda: HttpxTransport(
            httpx.HTTPTransport(verify=context(), http2=target.http2, proxy=target.proxy), bounds=bounds
        )
    if target.url is not None and target.url.lower().startswith("https:"):
        context()  # this takes time, so do it before the clock starts; other targets may never need it
    return lambda: KernelTransport(clock, queue=queue, tls=context, bounds=bounds)


def check_room(users: int, processes: int) -> None:
    """Check that the system allows one connection per user. Raises NoRoomError with the remedy.

    Open loads are not checked: the number of their connections depends on how fast the answers come.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = math.ceil(users / processes) + OTHER_DESCRIPTORS
    if users and hard != resource.RLIM_INFINITY and each > hard:
        raise NoRoomError(
            f"load.users is {users}: each process needs {each} file descriptors, but the limit is {hard}; "
            f"raise the limit (ulimit -Hn {each}, or LimitNOFILE), or set load.processes"
        )
    if users > (ports := ephemeral_ports()):
        raise NoRoomError(
            f"load.users is {users}: this machine has {ports} ports for connections to one address; "
            "widen net.ipv4.ip_local_port_range, or use several machines"
        )


def ephemeral_ports() -> int:
    """How many connections to one address and port this machine can have at the same time."""
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        return 16384  # the range of IANA (RFC 6335)
    return last - first + 1


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard limit, so that this process can have as many sockets
    as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
