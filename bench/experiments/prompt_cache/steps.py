"""What is sent to find out what a prompt cache does. Every beginning is new, and is read once, unless reading is asked
about: reading may refresh.

savings      cold and warm prompts of equal length, in pairs, in random order; a warm one reads what the cold one of the
             pair before wrote; if none is a hit, a few of them once more, some seconds later
granularity  two prompts with a beginning in common, of lengths that close in on the block and on the smallest prefix
lifetime     many prompts are written, each is read at an age of its own, twice: over all ages, then between the longest
             that was read and the shortest that was not; then several at once, at several rates, and beside others
scope        another key reads what the first one wrote
workload     the scenario's own mix, as a load: before all else, when nothing has pushed its prompts out
"""

from __future__ import annotations

import heapq
import math
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from statistics import linear_regression

from bench.experiments.prompt_cache.hits import ANSWERED, HIT, limit_by_time, misses_needed, share_of_hits
from bench.experiments.prompt_cache.prompts import TAIL, Prompts
from bench.experiments.prompt_cache.question import PromptCacheScenario
from bench.plan import Burst, Planned, Ramp, Stage, Steps, Wait
from bench.records import Record

SETTLE_S = 0.1  # between writing a prompt and reading it
LATER_S = 5.0  # before prompts that were no hits are read once more: some caches take seconds to write
PAIRS = 24  # of the longest prompt; of the shorter ones half as many
FEWEST_PAIRS = 6
AGES = 10  # at which prompts are read, in each of two rounds
FIRST_AGE_S = 0.5
LONGEST_AGE_S = 600.0  # where no budget says how long it may take
SHARE_OF_TIME = 0.2  # of what is left, for the oldest prompt of a round
SHARE_OF_RATE = 1 / 3  # the same, for the requests of one rate
OTHERS = (1, 2, 4, 8)  # prompts between writing and reading
AT_ONCE = (1, 4, 8)  # prompts that read one beginning at the same time
RATES = {15: 6, 60: 12, 240: 24}  # requests per minute that read one beginning, and how many are sent
SCOPES = 8  # beginnings that the second key tries
MOST_TRIES = 16
MISSED_READ = 0.001  # chance that a beginning that is kept is thought too short: one mistake spoils the whole search
FEWEST_READS, MOST_READS = 2, 32
USERS = 2  # of the workload
LOOKS = 4  # at prompts that are younger than the lifetime found: are they all there?
UNUSUAL = 0.1  # chance of so few hits among them, below which prompts may be forgotten one by one
WIDER = 2.0  # how far beyond what was seen the ages of another round begin and end


def steps(question: PromptCacheScenario, rng: random.Random | None = None) -> Steps[None]:
    """Everything that is to be learned, of one model after the other. What is drawn is new in every run, whatever the
    scenario's seed: a cache may know the prompts of the run before."""
    chance = random.Random(secrets.randbits(64)) if rng is None else rng
    numbers, spent = count(), Spent()
    if "workload" in question.learn:
        users, requests = Ramp(max(USERS, len(question.models))), question.workload * len(question.models)
        yield Stage(name="workload", users=users, requests=requests, drain=60.0)
        spent = Spent(requests, requests * question.tokens)
    for place, model in enumerate(question.models):
        share = 1 / (len(question.models) - place)
        yield from Search(question, model, chance, numbers, spent, share=share).everything()


@dataclass(slots=True)
class Spent:
    """What was sent so far, to all models."""

    requests: int = 0
    tokens: float = 0.0  # of prompts
    written: float = 0.0  # of them, not read from a cache


@dataclass(frozen=True, slots=True)
class Writing:
    """A beginning that was written."""

    beginning: int
    words: int
    at: float  # when it was there for certain, s of the run
    before: float  # tokens that had been written then


@dataclass(frozen=True, slots=True)
class Pair:
    """A cold and a warm prompt of one length."""

    words: int
    beginning: int  # of the warm one
    cold: Record
    warm: Record


@dataclass(slots=True)
class Aged:
    """The beginnings that were read at one age."""

    age: float  # s
    was_read: bool = False  # one of them at least
    beside: float = 0.0  # tokens of other prompts that were written meanwhile


Reading = tuple[float, int, Aged, Writing]
"""When a beginning is to be read, the number of its pair, its age then, and the beginning."""


class Search:
    """One model's cache."""

    def __init__(
        self,
        question: PromptCacheScenario,
        model: str,
        rng: random.Random,
        numbers: count[int],
        spent: Spent,
        *,
        share: float,
    ) -> None:
        """`share` is its part of what is left of the budget."""
        self.question, self.rng, self.spent, self.share = question, rng, spent, share
        self.model, self.prompts = model, Prompts(question, model, rng, numbers)
        self.beginnings, self.pairs = count(), count()
        self.now = 0.0  # s of the run
        self.words = question.tokens - TAIL - 8  # of the longest beginning
        self.per_word = 1.0  # tokens
        self.took = 0.0  # s that the longest prompt takes
        self.common = 0  # tokens that the server reads from its cache for any prompt
        self.tells = False  # whether the server reported a hit
        self.limit: float | None = (
            None  # s to the first token, below which a longest prompt is a hit; None: not by time
        )
        self.finds = False  # whether there was a hit, reported or by time
        self.tries = 1  # of a beginning, before it is thought to be gone
        self.fresh = 1.0  # share of hits among prompts that were just written
        self.reads = FEWEST_READS  # of a length, before it is thought to be too short

    def everything(self) -> Steps[None]:
        """The parts in order, as the question wants them."""
        learn = self.question.learn
        yield from self.savings()
        if "granularity" in learn and self.tells:
            yield from self.granularity()
        if "scope" in learn:
            yield from self.scope()
        if "lifetime" in learn and self.finds:
            yield from self.lifetime()
            if self.tells:  # by time, what comes at once is late
                yield from self.several_at_once()
                yield from self.at_rates()
            yield from self.beside_others()

    # -- savings --------------------------------------------------------------------------------------

    def savings(self) -> Steps[None]:
        """Pairs of a cold and a warm prompt, over lengths. The other parts need to know how many hits there are."""
        yield from self.size()
        lengths = sorted({max(16, round(self.words * part)) for part in (0.25, 0.5, 1.0)})
        many = self.number_of_pairs()
        pairs: list[Pair] = []
        for words in self.rng.sample(lengths, len(lengths)):
            wanted = many if words == max(lengths) else max(FEWEST_PAIRS, many // 2)
            pairs += yield from self.cold_and_warm(words, wanted)
        self.learn_hits(pairs)
        if not self.finds:
            yield from self.later(pairs)

    def cold_and_warm(self, words: int, many: int) -> Steps[list[Pair]]:
        """Pairs of prompts of one length; `many` is their number."""
        stage, done = f"savings, {round(words * self.per_word)} tokens", []
        [first] = yield from self.send(stage, self.prompts.ask("prime", written := self.new(), words))
        for _ in range(many if first.prompt_tokens is None or answered(first) else 0):
            yield from self.settle()
            pair, fresh = next(self.pairs), self.new()
            cold = self.prompts.ask("cold", fresh, words, pair=pair)
            warm = self.prompts.ask("warm", written, words, pair=pair)
            both = {}
            for planned in self.rng.sample([cold, warm], 2):
                [both[planned.name]] = yield from self.send(stage, planned)
            done.append(Pair(words, written, both["cold"], both["warm"]))
            written = fresh
        return done

    def later(self, pairs: Sequence[Pair]) -> Steps[None]:
        """Read the newest beginnings a third time: a cache may take seconds to write, or keep what was sent twice."""
        yield from self.wait_until(self.now + LATER_S)
        for one in [one for one in pairs if one.words == self.words and answered(one.warm)][-LOOKS:]:
            yield from self.send("later", self.prompts.ask("read", one.beginning, one.words, pair=next(self.pairs)))

    def learn_hits(self, pairs: Sequence[Pair]) -> None:
        """How hits are recognized, and how many tries a beginning needs: a warm prompt may reach a server that has
        not seen it."""
        hits = [self.is_told(one.warm, one.words) for one in pairs]
        self.tells = any(hits)
        if not self.tells:
            self.limit = limit_of(pairs, self.words)
            hits = [self.is_hit(one.warm, one.words) for one in pairs if one.words == self.words]
        self.finds = any(hits)
        fresh, by_time = (sum(hits), len(hits)), not self.tells
        self.fresh = share_of_hits(*fresh)
        self.tries = min(MOST_TRIES, misses_needed(*fresh, by_time=by_time))
        self.reads = min(MOST_READS, max(FEWEST_READS, misses_needed(*fresh, by_time=by_time, missed=MISSED_READ)))

    def size(self) -> Steps[None]:
        """Learns how many tokens a word is to this server; the longest prompt becomes as long as was asked for."""
        [record] = yield from self.send("size", self.prompts.ask("prime", self.new(), self.words))
        self.took = took(record)
        [again] = yield from self.send("size", self.prompts.ask("prime", self.new(), self.words // 2))
        if record.prompt_tokens and again.prompt_tokens and record.prompt_tokens > again.prompt_tokens:
            self.per_word = (record.prompt_tokens - again.prompt_tokens) / (self.words - self.words // 2)
            over = record.prompt_tokens - self.question.tokens
            self.words = max(16, self.words - math.ceil(over / self.per_word))
            self.common = min(record.cached_tokens or 0, again.cached_tokens or 0)

    def number_of_pairs(self) -> int:
        """As many as the budget has room for beside what else is to be learned."""
        budget, spent = self.question.budget, self.spent
        if budget is None:
            return PAIRS
        mine = self.share / max(1, len(set(self.question.learn) - {"workload"}))
        tokens = 3 * self.question.tokens
        room = [float(PAIRS)]
        if budget.requests is not None:
            room.append((budget.requests - spent.requests) * mine / 4)
        if budget.tokens is not None:
            room.append((budget.tokens - spent.tokens) * mine / tokens)
        if budget.usd is not None and (price := self.question.prices[self.model].input):
            room.append((budget.usd - spent.tokens * price / 1e6) * mine / (tokens * price / 1e6))
        if budget.duration is not None:
            room.append((budget.duration - self.now) * mine / (3 * self.took + 2 * SETTLE_S))
        return max(FEWEST_PAIRS, int(min(room)))

    # -- granularity ----------------------------------------------------------------------------------

    def granularity(self) -> Steps[None]:
        """The block is the greatest common divisor of what was read; then the smallest prefix, in whole blocks."""
        known: list[int] = []
        for part in (1.0, self.rng.uniform(0.75, 0.95), self.rng.uniform(0.55, 0.75)):
            read = yield from self.read_of(self.words * part)
            known += [read] if read > self.common else []
        if not known:
            return
        block = yield from self.block(known)
        yield from self.minimum(min(known), block)

    def block(self, known: list[int]) -> Steps[int]:
        """Tokens of a block: halfway to the next supposed one there is another, if a block is but a part of it."""
        block = math.gcd(*known)
        checked = 0
        while block > 1 and checked < 2:
            base = known[checked % len(known)]
            step = block / 2 if base + block / 2 < self.words * self.per_word else -block / 2
            read = yield from self.read_of((base - self.common + step) / self.per_word)
            if read > self.common:
                known.append(read)
            smaller = math.gcd(block, *known)
            checked = checked + 1 if smaller == block else 0
            block = smaller
        return block

    def minimum(self, smallest: int, block: int) -> Steps[None]:
        """Between what is too short and what was read, until they are one block apart."""
        missed = self.common
        while smallest - missed > block:
            middle = (missed + smallest) // 2 // block * block
            middle = middle if middle > missed else missed + block
            if middle >= smallest:
                break
            read = yield from self.read_of((middle + block // 2 - self.common) / self.per_word)
            if read > self.common:
                smallest = min(read, middle)
            else:
                missed = middle

    def read_of(self, words: float) -> Steps[int]:
        """Tokens read from the cache of a beginning that was just written, of this length; the best of a few tries."""
        best, many = 0, max(1, round(words))
        for _ in range(self.reads):
            beginning, pair = self.new(), next(self.pairs)
            yield from self.send("granularity", self.prompts.ask("prime", beginning, many, pair=pair))
            yield from self.settle()
            [record] = yield from self.send("granularity", self.prompts.ask("read", beginning, many, pair=pair))
            best = max(best, record.cached_tokens or 0)
            if best > self.common:
                break
        return best

    # -- lifetime -------------------------------------------------------------------------------------

    def lifetime(self) -> Steps[None]:
        """Ages over all that the budget has time for, then between the oldest that was read and the next. Where prompts
        are forgotten one by one there is no such place, and the ages of another round lie around all that was seen."""
        longest = self.longest_age()
        if longest <= FIRST_AGE_S:
            return
        first = yield from self.ages(ages_between(FIRST_AGE_S, longest, AGES))
        if (young := forgotten_early(first)) is not None:
            yield from self.around(young, max(oldest(first), gone_after(first) or 0.0), longest)
            return
        if (gone := gone_after(first)) is None:
            return
        alone = yield from self.ages([gone])
        if oldest(alone):  # so the others pushed it out, or it is chance
            for part in (1 / 16, 1 / 4, 1.0):
                alone += yield from self.ages([longest * part])
            if missed := [one.age for one in alone if not one.was_read]:
                yield from self.around(min(oldest(alone), *missed), max(oldest(alone), *missed), longest)
        elif read := oldest(first):
            yield from self.closer(read, gone, longest)

    def closer(self, read: float, gone: float, longest: float) -> Steps[None]:
        """Ages between these two, one of which prompts may reach and one not; and whether reading keeps them longer."""
        if gone - read > 0.2:
            step = (gone - read) / (AGES + 1)
            second = yield from self.ages([read + step * place for place in range(1, AGES + 1)])
            read, gone = max(read, oldest(second)), gone_after(second) or gone
            if forgotten_early(second) is not None:
                yield from self.around(read / WIDER, read, longest)
                return
        if (yield from self.refreshing(read, gone)):
            yield from self.around(read / WIDER, read, longest)

    def around(self, young: float, old: float, longest: float) -> Steps[None]:
        """Ages from below the first to above the second."""
        last = min(longest, self.longest_age(), WIDER * old)
        if (begin := young / WIDER) < last:
            yield from self.ages(ages_between(begin, last, AGES))

    def ages(self, ages: Sequence[float]) -> Steps[list[Aged]]:
        """Beginnings of these ages are read, each of them once."""
        waiting: list[Reading] = []  # a heap
        found = [Aged(age) for age in ages]
        for aged in found:
            for _ in range(self.tries):
                while waiting and waiting[0][0] <= self.now + self.took:  # before the next is written it is too old
                    yield from self.read_next(waiting)
                writing, pair = yield from self.write("lifetime")
                heapq.heappush(waiting, (writing.at + aged.age, pair, aged, writing))
        while waiting:
            yield from self.read_next(waiting)
        return found

    def read_next(self, waiting: list[Reading]) -> Steps[None]:
        """Read the beginning that is due next, when it is due, and note whether it was there."""
        due, pair, aged, writing = heapq.heappop(waiting)
        yield from self.wait_until(due)
        aged.beside = self.spent.written - writing.before
        planned = self.prompts.ask("read", writing.beginning, writing.words, pair=pair)
        [record] = yield from self.send("lifetime", planned)
        aged.was_read |= self.is_hit(record, writing.words)

    def refreshing(self, read: float, gone: float) -> Steps[bool]:
        """Whether reading keeps a beginning longer: it is read before its time is up, and again after. Returns whether
        fewer than all were there before their time was up."""
        early = 0.7 * read
        if early + read <= gone:
            return False  # too little is known of its time
        late = (gone + early + read) / 2  # gone by then, if reading it did nothing, and not, if it did
        writings = yield from self.several("refresh", max(LOOKS, 2 * self.tries - 1))
        found = []
        for name, at in (("early", early), ("late", late)):
            for writing, pair in writings:
                yield from self.wait_until(writing.at + at)
                planned = self.prompts.ask(name, writing.beginning, writing.words, pair=pair)
                records = yield from self.send("refresh", planned)
                found += [self.is_hit(record, writing.words) for record in records if name == "early"]
        return chance_of_at_most(sum(found), len(found), self.fresh) < UNUSUAL

    def beside_others(self) -> Steps[None]:
        """How many tokens of other prompts push a beginning out."""
        writings = yield from self.several("eviction", len(OTHERS) * self.tries)
        between = 0
        for place, many in enumerate(OTHERS):
            for _ in range(many - between):
                yield from self.send("eviction", self.prompts.ask("other", self.new(), self.words))
            between = many
            for writing, pair in writings[place * self.tries : (place + 1) * self.tries]:
                planned = self.prompts.ask("read", writing.beginning, writing.words, pair=pair)
                yield from self.send("eviction", planned)

    def several_at_once(self) -> Steps[None]:
        """One beginning, read by several at the same time."""
        for many in AT_ONCE:
            for _ in range(8 // many):
                writing, pair = yield from self.write("parallel")
                yield from self.settle()
                ask = (self.prompts.ask("read", writing.beginning, writing.words, pair=pair) for _ in range(many))
                yield from self.send(f"parallel, {many} at once", *ask)

    def at_rates(self) -> Steps[None]:
        """One beginning, read at several rates: what comes too often may be sent elsewhere, where it misses."""
        for rate, many in RATES.items():
            spacing = 60.0 / rate
            if (left := self.time_left()) is not None and spacing * (many - 1) > left * SHARE_OF_RATE:
                continue
            writing, pair = yield from self.write("rate")
            yield from self.settle()
            ask = [self.prompts.ask("read", writing.beginning, writing.words, pair=pair) for _ in range(many)]
            yield from self.send(f"rate, {rate} a minute", *ask, spacing=spacing)

    def longest_age(self) -> float:
        """Of a prompt, in seconds; what the budget has time for."""
        left = self.time_left()
        return LONGEST_AGE_S if left is None else left * SHARE_OF_TIME

    def time_left(self) -> float | None:
        """Seconds of the budget that are left for this model; None where it says nothing of time."""
        budget = self.question.budget
        if budget is None or budget.duration is None:
            return None
        return (budget.duration - self.now) * self.share

    # -- scope ----------------------------------------------------------------------------------------

    def scope(self) -> Steps[None]:
        """What the first key wrote is read by the second, and beside it, of other beginnings, by the first."""
        for _ in range(SCOPES):
            for name, arm in self.rng.sample([("read", None), ("other key", "other")], 2):
                writing, _ = yield from self.write("scope")
                yield from self.settle()
                yield from self.send("scope", self.prompts.ask(name, writing.beginning, writing.words, arm=arm))
            cold = self.prompts.ask("other key, cold", self.new(), self.words, arm="other")
            yield from self.send("scope", cold)

    # -- what they have in common ---------------------------------------------------------------------

    def send(self, stage: str, *requests: Planned, spacing: float = 0.0) -> Steps[list[Record]]:
        records = yield Burst(name=stage, requests=requests, spacing=spacing)
        self.now = max([self.now, *(record.done for record in records)])
        self.spent.requests += len(records)
        self.spent.tokens += sum(record.prompt_tokens or 0 for record in records)
        self.spent.written += sum((record.prompt_tokens or 0) - (record.cached_tokens or 0) for record in records)
        return records

    def write(self, stage: str) -> Steps[tuple[Writing, int]]:
        """A new beginning as long as the longest prompt, and the number of its pair."""
        beginning, pair = self.new(), next(self.pairs)
        [record] = yield from self.send(stage, self.prompts.ask("prime", beginning, self.words, pair=pair))
        return Writing(beginning, self.words, record.done, self.spent.written), pair

    def several(self, stage: str, many: int) -> Steps[list[tuple[Writing, int]]]:
        """New beginnings, as many as asked for, each with the number of its pair."""
        written = []
        for _ in range(many):
            one = yield from self.write(stage)
            written.append(one)
        return written

    def settle(self) -> Steps[None]:
        yield Wait(seconds=SETTLE_S)
        self.now += SETTLE_S

    def wait_until(self, moment: float) -> Steps[None]:
        if (left := moment - self.now) > 0:
            yield Wait(seconds=left)
            self.now += left

    def is_hit(self, record: Record, words: int) -> bool:
        """As the server says, or as its time says where it is silent."""
        if self.tells:
            return self.is_told(record, words)
        return self.limit is not None and answered(record) and took(record) < self.limit

    def is_told(self, record: Record, words: int) -> bool:
        return (record.cached_tokens or 0) >= HIT * words * self.per_word

    def new(self) -> int:
        return next(self.beginnings)


def ages_between(begin: float, end: float, many: int) -> list[float]:
    """Ages from one to the other, each by the same ratio above the one before; `many` is their number."""
    ratio = (end / begin) ** (1 / (many - 1))
    return [begin * ratio**place for place in range(many)]


def oldest(found: Sequence[Aged]) -> float:
    """The oldest age at which a beginning was read; 0 if none was."""
    return max((one.age for one in found if one.was_read), default=0.0)


def gone_after(found: Sequence[Aged]) -> float | None:
    """The youngest age above that, at which none was read; None if there is none."""
    return min((one.age for one in found if not one.was_read and one.age > oldest(found)), default=None)


def forgotten_early(found: Sequence[Aged]) -> float | None:
    """The youngest age at which none was read though an older one was, beside as many other prompts, which can't have
    pushed it out; None if there is none."""
    return min(
        (
            gone.age
            for gone in found
            for read in found
            if read.was_read and not gone.was_read and gone.age < read.age and gone.beside <= read.beside
        ),
        default=None,
    )


def chance_of_at_most(hits: int, reads: int, share: float) -> float:
    """The chance of no more hits than these, if such a share of reads are hits."""
    return sum(math.comb(reads, some) * share**some * (1 - share) ** (reads - some) for some in range(hits + 1))


def limit_of(pairs: Sequence[Pair], words: int) -> float | None:
    """The TTFT, s, below which a prompt of this length was a hit, by the cold ones of all lengths; None if that cannot
    be seen."""
    cold = [(one.words, took(one.cold)) for one in pairs if answered(one.cold)]
    longest = [seconds for length, seconds in cold if length == words]
    if len({length for length, _ in cold}) < 2:
        return None
    return limit_by_time(longest, linear_regression(*zip(*cold, strict=True)).slope, words)


def took(record: Record) -> float:
    """Seconds to its first token, or to its end where it has none; 0 if it was not sent."""
    first = record.done if record.first_token_at is None else record.first_token_at
    return 0.0 if record.sent is None else first - record.sent


def answered(record: Record) -> bool:
    """Whether its prompt was read."""
    return record.outcome in ANSWERED
