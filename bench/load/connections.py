"""From a scenario's target to what sends requests there: provider, transport, and room for the connections."""

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
from bench.wire.transport import HttpxTransport, KernelTransport, Transport

Urls = Mapping[str | None, str]
"""Where each arm of a scenario is served, by its name; under None, what is sent for no arm."""

OTHER_DESCRIPTORS = 64  # that a process needs beside its connections


class NoRoomError(Exception):
    """The system's limits are too low for the load; the message says which and what to do."""


def scrub_for(scenario: Scenario) -> Scrubber:
    """What takes the scenario's secrets out of everything that is written or printed."""
    return scrubber(secrets(scenario), public=(*scenario.models, *(request.name for request in scenario.requests)))


def caller_for(scenario: Scenario, urls: Urls, seed: int, started: float, scrub: Scrub) -> Caller:
    """What sends the scenario's requests; times in records count from `started`, monotonic s.

    `urls` has the address of the scenario's target, and of each arm's. `scrub` is that of the scenario.
    """
    whole = _caller(scenario, urls[None], seed, started, scrub)
    arms = {
        name: replace(
            _caller(arm, urls[name], seed, started, whole.provider.scrub),
            clock=whole.clock,
            given_up=whole.given_up,
            mishaps=whole.mishaps,
            listener=whole.listener,
        )
        for name, arm in scenario.arms.items()
    }
    budget = scenario.allowance
    return replace(whole, arms=arms, expenses=None if budget is None else Expenses(budget, scenario))


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
    """What makes a new transport, for all arms of the scenario."""
    queue = WorkQueue()
    plain = _transports(scenario, clock, queue)
    if not scenario.arms:
        return plain
    arms = {name: _transports(arm, clock, queue) for name, arm in scenario.arms.items()}
    return lambda: ArmTransports(plain(), {name: new() for name, new in arms.items()})


def _transports(scenario: Scenario, clock: KernelClock, queue: WorkQueue) -> Callable[[], Transport]:
    """What makes a new transport; httpx's own where the scenario asks for a proxy or HTTP/2."""
    target, bounds = scenario.target, Bounds(head=scenario.bounds.head, answer=scenario.bounds.answer)
    context = partial(context_for, target)
    if target.http2 or target.proxy is not None:
        return lambda: HttpxTransport(
            httpx.HTTPTransport(verify=context(), http2=target.http2, proxy=target.proxy), bounds=bounds
        )
    if target.url is not None and target.url.lower().startswith("https:"):
        context()  # before the clock starts; other targets may never need it
    return lambda: KernelTransport(clock, queue=queue, tls=context, bounds=bounds)


def check_room(users: int, processes: int) -> None:
    """Whether the system lets us have the connections that users need. Raises NoRoomError with the remedy.

    How many an open loop needs depends on how fast the answers come.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = math.ceil(users / processes) + OTHER_DESCRIPTORS
    if users and hard != resource.RLIM_INFINITY and each > hard:
        raise NoRoomError(
            f"load.users is {users}: a process would need {each} file descriptors and may have {hard}; "
            f"raise the limit (ulimit -Hn {each}, or LimitNOFILE), or set load.processes"
        )
    if users > (ports := ephemeral_ports()):
        raise NoRoomError(
            f"load.users is {users}: this machine has {ports} ports for connections to one address; "
            "widen net.ipv4.ip_local_port_range, or use several machines"
        )


def ephemeral_ports() -> int:
    """How many connections to one address and port this machine can have at a time."""
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        return 16384  # what IANA sets aside (RFC 6335)
    return last - first + 1


def raise_descriptor_limit() -> None:
    """As many sockets as the system lets this process have without asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
