"""A comparison of runs on disk as findings for a report, as a document, and as checks."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt

from bench.analysis.checks import Check, check_of_threshold, checks_of_comparisons, threshold_value
from bench.analysis.comparison import badge, headlines, percent, sections_of
from bench.analysis.comparison_charts import distributions, over_time, paired_differences
from bench.analysis.disk_comparison import DiskComparison, Side, paired_runs
from bench.analysis.extract import LEVELS, Distribution, whole
from bench.analysis.numerals import at_stage, count, counted
from bench.analysis.run_comparison import ENOUGH, models_of
from bench.analysis.run_pairs import pairs_of, sample_in
from bench.analysis.sections import (
    MARKS,
    TONES,
    About,
    Badge,
    Cell,
    Chart,
    Column,
    Findings,
    Heading,
    Row,
    Section,
    Sentence,
    Table,
    Tone,
    capital,
)
from bench.analysis.statistics import Verdict
from bench.metrics import METRICS
from bench.records.json_file import indented

Floats = npt.NDArray[np.float64]
POINTS = 500  # points of a distribution that is drawn from its kept quantiles
MOST_CHARTS = 4  # models and stages that have charts
DRAWN = ("ttft", "tpot", "e2e")
VALIDITY: dict[str, Tone] = {"valid": "good", "invalid": "bad"}  # of any other word: in doubt


def findings_of(found: DiskComparison, *, drawn: bool = True) -> Findings:
    """Everything that the report of a comparison says; without charts if they are not `drawn`."""
    headline = headline_of(found)
    told = int(headline in headlines(found.comparisons)[:1])
    sections = (
        *sections_of(found.comparisons, notes=notes(found), doubts=doubts(found), told=told),
        *([Section("thresholds", "Thresholds", (thresholds(found),))] if found.thresholds else []),
        *(
            [Section("charts", "Side by side", (*charts_of(found), *undrawn(found)))]
            if drawn and found.compared
            else []
        ),
        Section("runs", "Runs", (runs_table(found),)),
    )
    asked = {
        side.name: [one.asked for one in side.extracts][-1:] for side in (found.baseline, found.candidate)
    }  # fmt: skip
    parts = tuple(one for one in sections if one.parts)
    return Findings(heading(found, headline), parts, indented(asked).decode())


def headline_of(found: DiskComparison) -> str:
    """Why nothing was compared, or the first figure of the verdict, or the threshold that alone decided it."""
    if found.refusals:
        return f"not comparable: {found.refusals[0]}"
    decided = any(one.verdict == found.verdict for one in found.comparisons)
    alone = [(run, one) for run, one in found.thresholds if one.verdict == found.verdict != "pass"]
    if alone and not decided:
        run, one = alone[0]
        return f"{one.expression} of {run}: {one.verdict}, got {threshold_value(one)}"
    said = headlines(found.comparisons)
    return said[0] if said else "the gate asks for nothing but thresholds"


def heading(found: DiskComparison, headline: str) -> Heading:
    """The verdict, and the sentence behind it."""
    badges = [Badge("refused", "bad") if found.verdict == "refused" else badge(found.verdict)]
    badges += [Badge("advisory", "doubt")] * found.advisory
    runs = [len(found.baseline.extracts), len(found.candidate.extracts)]
    detail = (
        f"{counted(runs[0], 'runs')} of {found.baseline.name}, {counted(runs[1], 'runs')} of {found.candidate.name}."
    )
    return Heading(
        f"{found.candidate.name} against {found.baseline.name}",
        tuple(badges),
        headline,
        detail,
        found.invalid[0] if found.invalid and not found.forced else None,
    )


def notes(found: DiskComparison) -> list[str]:
    """How the runs were compared, in sentences."""
    if found.compared is None:
        return []
    spreads = [one.spread for one in found.comparisons if one.spread is not None and not one.difference]
    if not spreads:
        return []
    if not found.compared.advisory:
        return [
            f"The spread from run to run, with nothing changed, was measured: {spread_range(spreads)} (standard "
            "deviation). Intervals and verdicts hold against it (t test on the runs, Holm over the lines)."
        ]
    return []


def spread_range(spreads: list[float]) -> str:
    least, most = percent(min(spreads)), percent(max(spreads))
    return least if least == most else f"{least} to {most}"


def doubts(found: DiskComparison) -> list[str]:
    """What weakens the comparison, in sentences."""
    told = []
    if found.compared is not None and found.compared.advisory and found.comparisons:
        told.append(advice(found))
    if not found.refusals:
        told += [f"{capital(one.text)}." for one in found.unlike]
    else:
        told += [f"{capital(one.text)}: no verdict could mean anything." for one in found.unlike if one.refused]
        told += [f"{capital(one.text)}." for one in found.unlike if not one.refused]
    return told + [f"{capital(one)}." for one in found.invalid]


def advice(found: DiskComparison) -> str:
    """Why a verdict is advisory, and how many runs are missing."""
    assert found.compared is not None
    missing = found.compared.missing
    wanted = [
        f"{many} more of the {side}" for many, side in zip(missing, ("baseline", "candidate"), strict=True) if many
    ]
    granted = [one.spread for one in found.comparisons if one.assumed and one.spread is not None and not one.difference]
    spread = percent(granted[0]) if granted else "as much as these"
    return (
        f"Advisory: equal servers differ from run to run, and {ENOUGH[0]} runs of the baseline and {ENOUGH[1]} of the "
        f"candidate are needed to measure by how much; {' and '.join(wanted)} are missing. Until then runs of the same "
        f"thing are taken to differ by {spread} (standard deviation), so only a large difference passes or fails. "
        "bench baseline add keeps runs; kind: compare asks both in one run and needs no such allowance."
    )


def thresholds(found: DiskComparison) -> Table:
    """The thresholds that the gate sets for the candidate itself."""
    columns = (
        Column("verdict", text=True), Column("condition", text=True, code=True), Column("run", text=True),
        Column("got"), Column("n", rank=1),
    )  # fmt: skip
    rows = tuple(
        Row((
            Cell(f"{MARKS[one.verdict]} {one.verdict}", tone=TONES[one.verdict]),
            Cell(one.expression, detail=one.reason),
            Cell(run),
            Cell(threshold_value(one), one.value),
            Cell(count(one.n), one.n),
        ))
        for run, one in found.thresholds
    )  # fmt: skip
    return Table("thresholds", "Conditions of the gate", columns, rows)


def runs_table(found: DiskComparison) -> Table:
    """The runs that were compared."""
    columns = (
        Column("", text=True), Column("run", text=True), Column("started", text=True), Column("requests"),
        Column("measurement", text=True), Column("commit", text=True, rank=2),
    )  # fmt: skip
    rows = []
    for side, name in ((found.baseline, "baseline"), (found.candidate, "candidate")):
        for one in side.extracts:
            requests = sum(part.requests for part in one.parts if whole(part))
            cells = (
                Cell(name), Cell(one.label), Cell(one.started_at[:19]), Cell(count(requests), requests),
                Cell(one.validity, tone=VALIDITY.get(one.validity, "doubt")),
                Cell((one.git or "")[:12]),
            )  # fmt: skip
            rows.append(Row(cells))
    return Table("runs", "What was compared", columns, tuple(rows), always=False)


# -- charts ---------------------------------------------------------------------------------------------------


def charts_of(found: DiskComparison) -> list[Chart]:
    """Distributions side by side, differences within pairs, both over time: of each model and stage, as many as fit."""
    alias = models_of(found.baseline.extracts, found.candidate.extracts)
    keys = keys_of(found)
    metrics = list(dict.fromkeys([one.metric for one in found.comparisons if one.metric in METRICS] + list(DRAWN)))
    metrics = [metric for metric in metrics if METRICS[metric].kind == "latency"]
    charts: list[Chart | None] = []
    for place, (stage, model) in enumerate(keys[:MOST_CHARTS]):
        staged = len({s for s, _ in keys}) > 1
        before = len(charts)
        about = "" if len(keys) == 1 else f": {model}" + (f", {stage}" if staged else "")
        for metric in metrics:
            sides = {
                names(found)[0]: drawn_sample(found.baseline, metric, stage, model),
                names(found)[1]: drawn_sample(found.candidate, metric, stage, alias.get(model, model)),
            }
            if any(len(one) for one in sides.values()):
                charts.append(titled(distributions(metric, sides, counted_one_by_one=False), about, place))
        charts += [titled(one, about, place) for one in of_two_runs(found, stage, model, alias.get(model, model))]
        subject = About(model, stage=stage if staged else None)
        charts[before:] = [None if one is None else one.all_about(subject) for one in charts[before:]]
    return [one for one in charts if one is not None]


def keys_of(found: DiskComparison) -> list[tuple[str, str]]:
    """Every stage and model of the baseline."""
    return list(dict.fromkeys((p.stage, p.model) for run in found.baseline.extracts for p in run.parts if whole(p)))


def undrawn(found: DiskComparison) -> list[Sentence]:
    """A sentence on the models and stages that have no chart, if any."""
    left = keys_of(found)[MOST_CHARTS:]
    named = "; ".join(f"{model} {at_stage(stage)}" for stage, model in left)
    return [Sentence(f"Not drawn: {named}. The table has their figures.")] if left else []


def names(found: DiskComparison) -> tuple[str, str]:
    """The names of the two sides in a legend."""
    same = found.baseline.name == found.candidate.name
    return ("baseline", "candidate") if same else (found.baseline.name, found.candidate.name)


def titled(chart: Chart | None, about: str, place: int) -> Chart | None:
    if chart is None:
        return None
    return replace(chart, name=f"{chart.name}-{place}" if place else chart.name, title=f"{chart.title}{about}")


def drawn_sample(side: Side, metric: str, stage: str, model: str) -> Floats:
    """Values that have the distributions of a side's runs together, from what is kept; infinite for failures."""
    found = [
        spread_out(one.latency[metric])
        for run in side.extracts
        for one in run.parts
        if (one.stage, one.model) == (stage, model) and whole(one) and metric in one.latency
    ]
    return np.concatenate(found) if found else np.empty(0)


def spread_out(one: Distribution) -> Floats:
    """This number of values, with the quantiles that are kept."""
    known = np.array([np.inf if value is None else value for value in one.quantiles])
    finite = np.isfinite(known)
    places = (np.arange(POINTS) + 0.5) / POINTS
    good = 1.0 - one.failures / one.n
    values = np.interp(np.minimum(places, good), np.array(LEVELS)[finite], known[finite])
    return np.where(places > good, np.inf, values)


def of_two_runs(found: DiskComparison, stage: str, model: str, other: str) -> list[Chart | None]:
    """The charts that need single requests: only for one run on each side."""
    if len(found.baseline.runs) != 1 or len(found.candidate.runs) != 1:
        return []
    a, b = found.baseline.runs[0], found.candidate.runs[0]
    arms, metric = {}, "e2e"
    for run, name, asked in zip((a, b), names(found), (model, other), strict=True):
        rows = run.requests
        rows = rows[(rows["stage"] == stage) & (rows["model"] == asked) & (rows["outcome"] == "ok")]
        metric = "ttft" if rows["ttft_s"].notna().any() else metric
        arms[name] = (rows, run.end.load_started)
    key = METRICS[metric].key
    timed = {
        name: (rows["sent"].to_numpy(np.float64) - began, rows[key].to_numpy(np.float64))
        for name, (rows, began) in arms.items()
    }
    charts: list[Chart | None] = []
    if paired_runs(found.baseline, found.candidate) is not None:
        pairs = pairs_of(a.requests, b.requests, {model: other})
        left, right = sample_in(pairs[(pairs["stage"] == stage) & (pairs["model"] == model)], metric)
        charts.append(paired_differences(metric, left, right, arms=names(found)))
    return [*charts, over_time(metric, timed)]


# -- for programs -----------------------------------------------------------------------------------------------


def document_of(found: DiskComparison) -> dict[str, object]:
    """findings.json of a comparison of runs."""
    compared = found.compared
    missing = compared.missing if compared is not None else (0, 0)
    return {
        "question": "compare",
        "verdict": found.verdict,
        "advisory": found.advisory,
        "missing_runs": {"baseline": missing[0], "candidate": missing[1]},
        "comparisons": [asdict(one) for one in found.comparisons],
        "thresholds": [{"run": run} | asdict(one) for run, one in found.thresholds],
        "unlike": [asdict(one) for one in found.unlike],
        "invalid": list(found.invalid),
        "baseline": side_told(found.baseline),
        "candidate": side_told(found.candidate),
    }


def side_told(side: Side) -> dict[str, object]:
    runs = [{"run": one.label, "started_at": one.started_at, "git": one.git} for one in side.extracts]
    return {"name": side.name, "runs": runs}


def checks_of(found: DiskComparison) -> list[Check]:
    """Every line, threshold and condition of a comparison."""
    group = f"{found.candidate.name} against {found.baseline.name}"
    believed: Verdict = "inconclusive" if found.invalid and not found.forced else "pass"
    refused: Verdict = "inconclusive" if found.refusals else "pass"
    return [
        Check("the runs are comparable", group, refused, "; ".join(one.text for one in found.unlike)),
        Check("the measurements can be believed", group, believed, "; ".join(found.invalid)),
        *checks_of_comparisons(found.comparisons),
        *(check_of_threshold(one, run) for run, one in found.thresholds),
    ]
