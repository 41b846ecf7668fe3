"""Questions that send as many requests as they need to find a provider's limits; a budget keeps their cost small."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from bench.plan.addresses import host_of, is_local
from bench.plan.budget import Budget
from bench.plan.prices import of_table
from bench.plan.scenario import Scenario
from bench.plan.syntax import Location


class Inquiry(Scenario):
    """A question whose number of requests depends on the answers. It needs a budget if the server is not on this
    machine."""

    budget: Budget | None = Field(None, description="the largest cost; needed unless the target is on this machine")

    @property
    def allowance(self) -> Budget | None:
        return self.budget

    @property
    def strangers(self) -> list[str]:
        """The hosts of its targets that are not this machine, each once."""
        targets = (self.target, *(arm.target for arm in self.arms.values()))
        hosts = (host_of(target.url) for target in targets if target.url is not None)
        return [host for host in dict.fromkeys(hosts) if not is_local(host)]

    def mistakes(self) -> Iterator[tuple[Location, str]]:
        yield from super().mistakes()
        if self.strangers and (self.budget is None or self.budget.requests is None):
            what = "budget is missing" if self.budget is None else "budget.requests is missing"
            yield (
                ("budget",),
                f"{what}, and {self.strangers[0]} is not this machine; how much may this cost there? "
                "Write budget: {requests: 500, tokens: 200000, duration: 15m} or the like",
            )
        if self.budget is not None and self.budget.usd is not None:
            asked = dict.fromkeys((*self.models, *(model for arm in self.arms.values() for model in arm.models)))
            prices = self.prices | {model: price for arm in self.arms.values() for model, price in arm.prices.items()}
            host = "" if self.target.url is None else host_of(self.target.url)
            for model in asked:
                if model not in prices and of_table(model, host) is None:
                    yield ("budget", "usd"), f"budget.usd needs the price of {model}; add it to prices"
