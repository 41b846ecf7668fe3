"""The causes of refusals: the limit that was reached, by the words of the refusal and by the counters beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import compress
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from bench.analysis.table import Table
from bench.records import DISGUISES, is_disguised

RefusalCause = Literal["requests", "tokens", "images", "concurrency", "unknown", "quota", "overload"]
CAUSES: tuple[RefusalCause, ...] = get_args(RefusalCause)
REFUSED = {"throttled": "unknown", "quota": "quota", "overloaded": "overload"}
"""Outcomes that are refusals, and their cause where no word says more."""

ONE_FOR_ALL = frozenset({"openrouter", "ietf_old"})
"""Styles whose headers do not say what they count: the limit of which the least is left."""
_EDGE, _END = r"(?<![a-z0-9])", r"(?![a-z0-9])"
_WORDS: dict[RefusalCause, re.Pattern[str]] = {
    # "Too many concurrent requests", LiteLLM's max_parallel_requests; not a model called llama-parallel
    "concurrency": re.compile(r"(?<![a-z0-9/.-])(concurren|parallel|simultaneous|in[ _-]?flight)", re.IGNORECASE),
    "images": re.compile(rf"{_EDGE}ipm{_END}|images? ?(per\b|/)|images?[ _](rate|limit)", re.IGNORECASE),
    # "on tokens per min (TPM)", Novita's TOKEN_LIMIT_EXCEEDED, Azure's "exceeded token rate limit", Anthropic's
    # "30,000 input tokens per minute" and "number of request tokens", Bedrock's "too many tokens", LiteLLM's "Limit
    # type: tokens"
    "tokens": re.compile(
        rf"{_EDGE}(i|o)?tp[mds]{_END}|tokens? ?(per\b|/)|tokens?[ _](rate|limit|quota)"
        r"|(rate[ _]limit_exceeded|type:) tokens|(number of|too many) ((request|input|output|prompt) )?tokens",
        re.IGNORECASE,
    ),
    # "on requests per min (RPM)", Azure's "exceeded call rate limit", OpenRouter's limit_rpm, Cohere's "10 API calls /
    # minute", Together's "60 queries per minute"; not "Too Many Requests", which is the name of every 429
    "requests": re.compile(
        rf"{_EDGE}rp[mdsh]{_END}|(requests?|quer(y|ies)|calls?) ?(per\b|/)|requests?[ _](rate|limit|quota)|call rate"
        r"|_requests\b|(rate[ _]limit_exceeded|type:) requests|limiting requests|number of requests",
        re.IGNORECASE,
    ),
}
"""Words that show a cause; of several causes in a message the one that it names first."""
_NOVITA_REQUESTS = re.compile(r"\bRATE_LIMIT_EXCEEDED\b")
"""Novita's word for RPM, where no other says more; OpenAI's for all limits is in small letters."""
_AMOUNT = re.compile(r"([0-9]{1,9}(?:[.][0-9]{1,9})?) ?(ms|milli|[smh])[a-z]{0,7} ?", re.IGNORECASE)
_TRY_AGAIN = re.compile(rf"(?:try again|retry) (?:in|after) ((?:{_AMOUNT.pattern})+)", re.IGNORECASE)
_MINUTELY = r"(?:requests?|quer(?:y|ies)|calls?) ?(?:per|/) ?min(?:ute)?s?\b"
_COUNT = r"([0-9]{1,3}(?:,[0-9]{3}){1,3}|[0-9]{1,9})"
_PER_MINUTE = re.compile(
    rf"{_COUNT} (?:api )?{_MINUTELY}|{_MINUTELY} ?(?:\(rpm\))?:? limit:? {_COUNT}|\brpm limit ?[=:] ?{_COUNT}",
    re.IGNORECASE,
)
_SECONDS = {"ms": 1e-3, "milli": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def wait_named(message: str) -> float | None:
    """The wait that a refusal's message asks for, s: "Please try again in 6m0.5s", "retry after 20 seconds"; None if it
    names none."""
    if (found := _TRY_AGAIN.search(message)) is None:
        return None
    return sum(float(amount) * _SECONDS[unit.lower()] for amount, unit in _AMOUNT.findall(found[1]))


def limit_named(message: str) -> float | None:
    """The limit of requests per minute that a refusal's message names: "requests per min (RPM): Limit 60, Used 60",
    "10 API calls / minute"; None if it names none."""
    if (found := _PER_MINUTE.search(message)) is None:
        return None
    return float(next(filter(None, found.groups())).replace(",", ""))


def cause_of(message: str) -> RefusalCause:
    """The limit that a 429's message speaks of."""
    found = {cause: hit.start() for cause, words in _WORDS.items() if (hit := words.search(message)) is not None}
    if found:
        return min(found, key=found.__getitem__)
    return "requests" if _NOVITA_REQUESTS.search(message) else "unknown"


def ends(outcomes: pd.Series[str], errors: pd.Series[str]) -> pd.Series[str]:
    """The outcomes, with disguised refusals as what they are: throttled."""
    found = outcomes.astype(object)
    odd = found[found.isin(DISGUISES)]
    messages = errors[odd.index].astype(object).fillna("")
    refused = [is_disguised(outcome, message) for outcome, message in zip(odd, messages, strict=True)]
    found.loc[odd.index[np.array(refused, bool)]] = "throttled"
    return found


def is_refusal(end: pd.Series[str]) -> pd.Series[bool]:
    """Whether each request or attempt was refused, by its end."""
    return end.isin(list(REFUSED))


def tries_of(table: Table) -> pd.DataFrame:
    """The earlier attempts with the column `end`: see `ends`."""
    return table.tries.assign(end=ends(table.tries["outcome"], table.tries["error"]))


def resource_of(key: str) -> RefusalCause:
    """The resource that a header's counter is about: api_key_requests and requests_minute are both of requests."""
    if "concurren" in key:
        return "concurrency"
    return next((word for word in ("tokens", "images", "requests") if word[:-1] in key), "unknown")


def spent_resource(counters: tuple[str, ...], style: str | None) -> RefusalCause:
    """The limit that a refusal without words is about: the one resource of these counters, of which the answer says
    that nothing is left. Of several resources, and of a style that does not say what it counts, it is unknown."""
    found = {resource_of(name) for name in counters}
    return found.pop() if len(found) == 1 and style not in ONE_FOR_ALL else "unknown"


def refusals(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """Every refused attempt of these derived rows of the table, earlier attempts included: `row` (its place in the
    table), `stage`, `model`, `at` (when it ended, s), `lasted` (s from its sending), `retry_after` (s) and `cause`."""
    last, tries = rows[is_refusal(rows["end"])], tries_of(table)
    earlier = tries[is_refusal(tries["end"]) & tries["row"].isin(rows.index)]
    of = rows.loc[earlier["row"]]
    cause = np.concatenate([causes_of(last, by_counters), causes_of(earlier, by_spent)])
    return pd.DataFrame({
        "row": np.concatenate([last.index.to_numpy(), earlier["row"].to_numpy()]),
        "stage": np.concatenate([last["stage"].astype(object), of["stage"].astype(object)]),
        "model": np.concatenate([last["model"].astype(object), of["model"].astype(object)]),
        "at": np.concatenate([last["done"], earlier["done"]]),
        "lasted": np.concatenate([last["done"] - last["sent"], earlier["done"] - earlier["sent"]]),
        "retry_after": np.concatenate([last["retry_after"], earlier["retry_after"]]),
        "cause": cause,
    })  # fmt: skip


class QuickRetries(NamedTuple):
    """Requests that used up their attempts before the wait that the server had named was over."""

    attempts: int  # of a request, at most
    lasted: float  # from the first attempt of a request to the end of its last, s, at most
    named: float  # the wait, s, at most
    by_header: bool  # whether Retry-After named it, not words alone


def quick_retries(table: Table, rows: pd.DataFrame) -> QuickRetries | None:
    """What there is to say if every throttled request among these rows was tried again, and had used up its attempts
    before the wait that its first refusal named was over; else None."""
    last = rows[rows["end"] == "throttled"]
    firsts = table.tries[table.tries["row"].isin(last.index)].drop_duplicates("row").set_index("row")
    if not len(last) or len(firsts) < len(last):
        return None
    firsts = firsts.loc[last.index]
    words = firsts["error"].astype(object).map(lambda text: wait_named(text) if isinstance(text, str) else None)
    named = firsts["retry_after"].astype(np.float64).fillna(words.astype(np.float64))
    lasted = last["done"] - firsts["sent"].fillna(firsts["done"])
    if not (named > lasted).all():
        return None
    by_header = bool(firsts["retry_after"].notna().any())
    return QuickRetries(int(last["attempts"].max()), float(lasted.max()), float(named.max()), by_header)


def causes_of(rows: pd.DataFrame, beside: Callable[[pd.DataFrame], np.ndarray]) -> np.ndarray:
    """The cause of each refusal by its words or, if they say nothing, by the counters `beside` them."""
    found = causes(rows["error"], rows["end"])
    unknown = np.flatnonzero(found == "unknown")
    if len(unknown):
        found[unknown] = beside(rows.iloc[unknown])
    return found


def causes(errors: pd.Series[str], end: pd.Series[str]) -> np.ndarray:
    """The cause of each refusal by its words."""
    plain = end.map(REFUSED).to_numpy(object)
    texts, codes = words_of(errors)
    known = np.array([*map(cause_of, texts), "unknown"], object)  # -1, for no text, is the last
    return np.where(plain == "unknown", known[codes], plain)


def words_of(errors: pd.Series[str]) -> tuple[Iterable[str], np.ndarray]:
    """The different messages, and of each row which one it has; -1 where it has none."""
    codes, texts = pd.factorize(errors.astype(object))
    return list(map(str, texts)), codes


def by_counters(rows: pd.DataFrame) -> np.ndarray:
    """The cause of refusals without words, by the counters beside them."""
    found = np.full(len(rows), "unknown", object)
    remaining = counters(rows, "remaining")
    if remaining:
        styles = rows["limit_style"].astype(object).to_numpy()
        empty = np.column_stack([left.to_numpy() == 0 for left in remaining.values()])
        for place in np.flatnonzero(empty.any(axis=1)):
            found[place] = spent_resource(tuple(compress(remaining, empty[place])), styles[place])
    return found


def by_spent(tries: pd.DataFrame) -> np.ndarray:
    """The same of earlier attempts."""
    told = zip(tries["spent"], tries["limit_style"], strict=True)
    return np.array([spent_resource(tuple(spent), style) for spent, style in told], object)


def counters(rows: pd.DataFrame, what: str) -> dict[str, pd.Series[float]]:
    """The columns of one sort of header, by the resource as the header names it, where any row has it."""
    end = f".{what}"
    return {
        str(name).removeprefix("limits.").removesuffix(end): rows[name]
        for name in rows
        if str(name).startswith("limits.") and str(name).endswith(end) and rows[name].notna().any()
    }
