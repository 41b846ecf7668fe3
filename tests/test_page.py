"""The page: its parts, and in a real browser (Debian's Chromium, headless) its charts, filters and sorting."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import numpy as np
import orjson
import pytest

from bench.analysis import open_run
from bench.analysis.sections import (
    Axis,
    Badge,
    Cell,
    Chart,
    Column,
    Findings,
    Heading,
    Row,
    Section,
    Sentence,
    Series,
    Table,
)
from bench.experiments.general import findings
from bench.report import write_report
from bench.report.page import facets, figures_of
from bench.report.page import page as page_of
from tests.node_packages import NODE, installed
from tests.runs import elements, failed, record, shifted, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

LISTEN = """<script>window.problems = []; addEventListener("error", event => problems.push(event.message));
console.error = (...words) => problems.push(words.join(" "));</script>"""

ASK = """<script>
(async () => {
  const texts = () => all("#table-figures tbody tr").filter(row => !row.hidden).map(row => row.cells[0].textContent);
  const legend = id => all(`#figure-${id} .legend button`).filter(key => !key.hidden).map(key => key.textContent);
  const values = id => plotOf(id).renderers.filter(line => line.visible).flatMap(line => Array.from(line.data_source.data.amount ?? line.data_source.data.x));
  const total = id => Math.round(values(id).reduce((one, other) => one + other, 0));
  const lines = () => Bokeh.documents[0].roots().flatMap(plot => plot.renderers).filter(line => line.visible).length;
  await until(() => document.documentElement.dataset.ready === "yes");
  const soon = all(".chart").filter(place => place.children.length).length;
  await drawn();
  const found = { width: innerWidth, scroll: document.documentElement.scrollWidth, soon, before: texts(), lines: lines() };
  found.charts = all(".chart").map(place => [place.dataset.chart, place.children.length > 0]);
  const box = document.querySelector("fieldset[data-facet=model] input");
  box.click();
  await settled();
  [found.filtered, found.fewer, found.told] = [texts(), lines(), document.getElementById("shown").value];
  box.click();
  await settled();
  const klass = document.querySelector("fieldset[data-facet=name] input");
  found.whole = [legend("within-e2e"), total("heat"), total("outcomes"), values("waterfall").length, said("figure-load")];
  klass.click();
  await settled();
  found.parts = [legend("within-e2e"), total("heat"), total("outcomes"), values("waterfall").length, said("figure-load")];
  found.rowsOfParts = texts();
  klass.click();
  await settled();
  const outcome = document.querySelector("fieldset[data-facet=outcome] input[value=ok]");
  outcome.click();
  await settled();
  found.failures = [total("outcomes"), said("figure-heat"), said("figure-ttft"), said("figure-load"), said("figure-waterfall")];
  found.failuresOfTable = document.getElementById("table-figures").closest(".tabled").querySelector(".untold").textContent;
  outcome.click();
  await settled();
  const head = document.querySelectorAll("#table-figures thead button")[3];
  head.click();
  [found.sorted, found.direction] = [texts(), head.closest("th").getAttribute("aria-sort")];
  head.click();
  found.ascending = texts();
  const key = document.querySelector("#figure-timeline .legend button");
  key.click();
  await settled();
  found.without = lines();
  const saved = [];
  URL.createObjectURL = blob => { saved.push(blob); return "#"; };
  HTMLAnchorElement.prototype.click = function () { saved.push(this.download); };
  document.querySelector("button[data-of=table-figures]").click();
  found.saved = [saved[1], (await saved[0].text()).split("\\r\\n")];
  const pointed = all("#table-figures tbody td").find(cell => cell.textContent.includes(" / "));
  pointed.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
  found.meaning = document.getElementById("meaning").textContent;
  const [from, to] = [document.getElementById("from"), document.getElementById("to")], whole = [from.value, to.value];
  [from.value, to.value] = [2, 4];
  to.dispatchEvent(new Event("change"));
  const ranges = () => ["timeline", "heat", "outcomes", "waterfall"].map(id => [plotOf(id).x_range.start, plotOf(id).x_range.end].join());
  found.zoomed = ranges();
  document.getElementById("whole").click();
  found.whole = [...found.whole, [from.value, to.value].join() === whole.join()];
  const wide = document.getElementById("table-figures").closest(".scroll"), note = wide.closest(".tabled").querySelector(".wider");
  const fades = () => wide.classList.contains("more");
  await until(fades);
  found.wider = [fades(), note.hidden];
  wide.scrollLeft = wide.scrollWidth;
  await until(() => !fades());
  found.wider.push(fades(), note.hidden, document.getElementById("table-thresholds").closest(".tabled").querySelector(".wider").hidden);
  dispatchEvent(new Event("beforeprint"));
  found.printed = all("canvas.printed").map(canvas => canvas.height > 0);
  dispatchEvent(new Event("afterprint"));
  found.printed.push(all("canvas.printed").length);
  tell(found);
})().catch(failed);
</script>"""

HELPERS = """<script>
const until = async done => { for (let left = 4000; left && !done(); left--) await new Promise(wait => setTimeout(wait, 10)); };
const all = (what, within = document) => [...within.querySelectorAll(what)];
const plotOf = id => Bokeh.documents[0].roots().find(plot => Object.values(Bokeh.index).some(view =>
  view.model === plot && document.querySelector(`[data-chart=${id}]`).contains(view.el)));
const said = id => document.querySelector(`#${id} .untold`).hidden ? "" : document.querySelector(`#${id} .untold`).textContent;
const settled = () => until(() => document.documentElement.dataset.settled === "yes");
const drawn = () => until(() => document.documentElement.dataset.drawn === "yes");
const choose = async (facet, value) => {
  document.querySelector(`fieldset[data-facet=${facet}] input[value="${value}"]`).click();
  await settled();
};
function tell(found) {
  const told = document.createElement("pre");
  told.id = "found";
  told.textContent = JSON.stringify({ ...found, problems });
  document.body.append(told);
}
const failed = error => { problems.push(error.stack); tell({}); };
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    base = record(0)
    records = []
    for n in range(100):
        slower = 0.2 if n % 2 else 0.0
        times = shifted(base, 0.05 * n, n) | {"first_token_at": 2.5 + 0.05 * n + slower - (0.2 if slower else 0)}
        model, name = ("zeta", "alpha")[n % 2], "xy"[n // 2 % 2]
        records.append(record(**times | {"sent": 2.0 + 0.05 * n - slower}, model=model, name=name))
    records += [failed(200 + n, "timeout", model="zeta", name="x", sent=3.0 + n, done=3.5 + n) for n in range(4)]
    scenario = {
        "models": ["zeta", "alpha"], "requests": [{"name": "x"}, {"name": "y"}], "thresholds": ["ttft p50 < 1s"],
    }  # fmt: skip
    return write_report(open_run(write_run(tmp_path_factory.mktemp("page"), records, scenario=scenario)))


def test_the_page_has_what_a_reader_and_a_screen_reader_look_for(page):
    found = elements(page.read_text("utf-8"))
    assert [attributes["value"] for _, attributes in found if attributes.get("type") == "checkbox"][:4] == [
        "zeta",
        "alpha",
        "x",
        "y",
    ]
    ids = {attributes["id"] for _, attributes in found if "id" in attributes}
    for _, attributes in found:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    assert all("scope" in attributes for tag, attributes in found if tag == "th")
    assert [attributes["lang"] for tag, attributes in found if tag == "html"] == ["en"]
    assert page.stat().st_size < 3_000_000


def asked_of(page, script, tmp_path):
    """What a script finds in the page, opened in a browser."""
    asked = (
        page.read_text("utf-8").replace("<head>", "<head>" + LISTEN, 1).replace("</body>", HELPERS + script + "</body>")
    )
    (tmp_path / "asked.html").write_text(asked, "utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/browser",
         "--window-size=420,900", "--virtual-time-budget=300000", "--dump-dom", (tmp_path / "asked.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    told = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told, done.stderr[-2000:]
    found = json.loads(html.unescape(told[1]))
    assert found["problems"] == []
    return found


IN_A_BROWSER = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed here: no page is opened in a browser"
)


@IN_A_BROWSER
def test_a_browser_draws_filters_and_sorts(page, tmp_path):
    found = asked_of(page, ASK, tmp_path)
    names = ("ttft", "itl", "e2e", "within-ttft", "within-e2e", "timeline", "heat", "throughput", "outcomes", "load",
             "waterfall")  # fmt: skip
    assert found["charts"] == [[name, True] for name in names]
    assert found["soon"] < len(names), "what is out of sight waits until the reader rests"
    assert found["scroll"] <= found["width"], "something is wider than a narrow screen"
    assert found["before"] == ["zeta", "x", "y", "alpha", "x", "y"]
    assert found["filtered"] == ["alpha", "x", "y"], "the box of the first model was unchecked"
    assert 0 < found["fewer"] < found["lines"]
    assert "rows shown" in found["told"]
    assert (found["sorted"], found["direction"]) == (["alpha", "x", "y", "zeta", "x", "y"], "descending")
    assert found["ascending"] == ["zeta", "x", "y", "alpha", "x", "y"]
    assert found["whole"][:3] == [["zeta", "alpha"], 100, 104]
    assert found["parts"][:3] == [["zeta, y", "alpha, y"], 50, 50]
    assert found["whole"][5], "the whole run is seen again"
    assert found["zoomed"] == ["2,4"] * 4, "charts over time are zoomed together"
    assert found["saved"][0] == "handmade-figures.csv"
    head, first, *_ = found["saved"][1]
    assert head.startswith('"name","n","errors","TTFT p50, ms","TTFT p95, ms","TTFT p99, ms"')
    assert first.startswith('"zeta","54","7.4 %","')
    assert len(found["saved"][1]) == 8
    assert found["meaning"].startswith("TTFT: time to first token")
    assert 0 < found["parts"][3] < found["whole"][3]
    assert (found["whole"][4], found["parts"][4]) == (
        "",
        "All request classes are in here: it does not tell them apart.",
    )
    assert found["rowsOfParts"] == ["y", "y"], "a whole holds what was left out"
    assert found["failures"] == [
        4, "Nothing of this is chosen.", "Nothing of this is chosen.", "It does not tell outcomes apart.",
        "Of these requests only the chosen ones are drawn.",
    ]  # fmt: skip
    assert found["failuresOfTable"] == "It does not tell outcomes apart."
    assert found["without"] == found["lines"] - 1
    assert found["wider"] == [True, False, False, False, True], "the edge fades until the last column is seen"
    assert found["printed"] == [True] * len(names) + [0]


STAGED = """<script>
(async () => {
  await drawn();
  const seen = id => plotOf(id).renderers.filter(line => line.visible).map(line => line.data_source.data)
    .flatMap(data => Array.from(data.x).filter((_, place) => !isNaN(data.y[place])));
  const found = { whole: seen("throughput") };
  found.levels = [seen("curve-tokens")];
  await choose("stage", "a");
  found.levels.push(seen("curve-tokens"), said("figure-curve-tokens"));
  found.second = seen("throughput");
  await choose("stage", "a");
  await choose("stage", "b");
  found.first = seen("throughput");
  await choose("stage", "a");
  found.none = ["throughput", "timeline", "curve-tokens"].map(id => said(`figure-${id}`));
  tell(found);
})().catch(failed);
</script>"""


@IN_A_BROWSER
def test_a_stage_that_is_left_out_takes_its_bins_with_it_and_no_others(tmp_path):
    base = record(0)
    records = [record(**shifted(base, 0.2 * n, n), stage="ab"[n >= 10]) for n in range(20)]
    steps = [
        {"name": "a", "began": 1.5, "ended": 4.0, "planned": 10, "sent": 10, "users": 1},
        {"name": "b", "began": 4.0, "ended": 7.0, "planned": 10, "sent": 10, "users": 2},
    ]
    scenario = {"load": {"stages": [{"name": name, "users": 1, "duration": 2.5} for name in "ab"]}}
    end = {"load_started": 1.5, "duration_s": 7.0}
    made = write_report(open_run(write_run(tmp_path / "run", records, scenario=scenario, steps=steps, end=end)))
    found = asked_of(made, STAGED, tmp_path)
    first, second = [0, 1.25, 1.25, 2.5], [2.5, 3.5, 3.5, 4.5, 4.5, 5.5]
    assert found["whole"] == [*first, *second]
    assert (found["first"], found["second"]) == (first, second)
    assert found["none"] == ["Nothing of this is chosen."] * 3
    assert found["levels"] == [[1, 2, 1, 2], [2, 2], ""], "of the line and its dots, only those of the stage"


def test_a_row_without_a_name_has_no_empty_head():
    table = Table("t", "t", (Column("verdict", text=True), Column("figure")), (Row((Cell(""), Cell("1"))),))
    told = Findings(Heading("h", (Badge("b"),), "l"), (Section("s", "S", (table,)),), "")
    assert '<th scope="row"' not in page_of(told)


def test_the_figures_of_a_chart_as_text_have_their_numbers_and_their_row():
    axis = Axis("", scale="category", categories=("b", "a"))
    rows = [
        Series("", np.array([at]), np.array([float(row)]), form="ticks", labels=(f"p50 {at}",))
        for row, at in enumerate((7, 5))
    ]
    assert figures_of(Chart("c", "c", "", Axis("TTFT", "ms"), axis, tuple(rows))) == [
        ("a", [("p50 5", "")]),
        ("b", [("p50 7", "")]),
    ]
    line = Series("m", np.array([1.0, 2.0]), np.array([30.0, np.nan]), labels=("low", "high"))
    assert figures_of(Chart("c", "c", "", Axis("load"), Axis("TTFT", "ms"), (line,))) == [("m, low", [("1", "30")])]


def test_no_line_of_a_sentence_ends_between_a_number_and_its_unit():
    sentence = Sentence("5 % later [3.2 %, 6.7 %], 1,662 ms after 3 min", details=("2 s, of 5 stages",))
    told = Findings(Heading("t", (Badge("pass", "good"),), "in 2 s", "d"), (Section("s", "S", (sentence,)),), "")
    text = html.unescape(page_of(told))
    for words in ("5\xa0% later [3.2\xa0%, 6.7\xa0%], 1,662\xa0ms after 3\xa0min", "2\xa0s, of 5 stages", "in 2\xa0s."):
        assert words in text


def test_a_page_without_scripts_says_what_is_missing(page):
    told = re.search(r"<noscript>(.*?)</noscript>", page.read_text("utf-8"), re.DOTALL)
    assert "needs JavaScript for its charts" in told[1]


def test_the_page_has_the_commands_that_repeat_its_run(page, tmp_path):
    records = [record(0)]
    facts = orjson.loads((write_run(tmp_path / "run 1", records) / "run.json").read_bytes())
    command = ["bench", "run", "chat.yaml", "--name", "run 1", "--set", "load.users=5"]
    (tmp_path / "run 1" / "run.json").write_bytes(orjson.dumps(facts | {"command": command}))
    told = html.unescape(write_report(open_run(tmp_path / "run 1")).read_text("utf-8"))
    assert "<code>bench run chat.yaml --set load.users=5</code>" in told
    assert f"<code>bench run chat.yaml --set load.users=5 --repeat '{tmp_path}/run 1'</code>" in told
    assert "The same load again" not in page.read_text("utf-8"), "`bench run` alone, as of the handmade one"


@pytest.mark.parametrize(
    ("options", "does", "again"),
    [
        (["--query", "sig=***"], "the same load again, with your secrets in place of ***", "--query 'sig=***'"),
        (["--users", "2", "--save", "kept.yaml"], "the same load again", "--users 2"),
        (["--name=run 1", "--save=kept.yaml", "--users=2"], "the same load again", "--users=2"),
    ],
)
def test_a_command_to_repeat_names_what_it_lacks_and_writes_over_nothing(tmp_path, options, does, again):
    facts = orjson.loads((write_run(tmp_path, [record(0)]) / "run.json").read_bytes())
    (tmp_path / "run.json").write_bytes(orjson.dumps(facts | {"command": ["bench", "run", "simulator", *options]}))
    first, _ = findings(open_run(tmp_path)).commands
    assert first == (does, f"bench run simulator {again}")


def test_words_to_filter_by_stand_in_the_order_of_the_run(tmp_path):
    stages = ("calm", "spike", "after")
    steps = [{"name": name, "began": 2.0 * n + 1.5, "ended": 2.0 * n + 3.5} for n, name in enumerate(stages)]
    words = ("timeout", "throttled", "connect", "protocol", "quota", "auth", "invalid")
    records = [failed(n, words[n // 2], stage="spike", name="ab"[n % 2]) for n in range(14)]
    records += [record(100 + n, stage=name) for n, name in enumerate(stages)]
    scenario = {"load": {"stages": [{"name": name, "users": 2, "duration": 2.0} for name in stages]}}
    told = findings(open_run(write_run(tmp_path, records, scenario=scenario, steps=steps)))
    assert facets(told.sections)["stage"] == ("stages", list(stages))


def test_a_command_that_cannot_be_understood_is_left_out(tmp_path):
    facts = orjson.loads((write_run(tmp_path, [record(0)]) / "run.json").read_bytes())
    (tmp_path / "run.json").write_bytes(orjson.dumps(facts | {"command": {"bench": 1}}))
    assert findings(open_run(tmp_path)).commands == ()


def test_only_what_the_page_says_is_defined(page):
    tables = re.findall(r'<table id="table-definitions".*?</table>', page.read_text("utf-8"), re.DOTALL)
    words = re.findall(r'<th scope="row" class="text plain">(.*?)</th>', tables[0])
    assert {"TTFT", "E2E", "ok", "timeout"} <= set(words)
    assert not {"tool calls", "throttled", "censored", "cache writes"} & set(words)


def test_no_rule_of_accessibility_is_broken_in_light_or_dark_wide_or_narrow(page):
    """axe-core's rules, with every fold open."""
    if CHROMIUM is None or shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Chromium, node and npm are needed to look at the page")
    installed()
    command = ["node", str(NODE / "page.mjs"), "axe", str(page), CHROMIUM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"light 1400": [], "dark 420": []}


def test_many_request_classes_are_folded_into_one_line(tmp_path):
    names = [f"class-{n}" for n in range(12)]
    records = [record(n, name=name) for n, name in enumerate(names)]
    scenario = {"requests": [{"name": name} for name in names]}
    told = write_report(open_run(write_run(tmp_path, records, scenario=scenario))).read_text("utf-8")
    fold = re.search(r'<details class="folded"><summary>12 request classes</summary>(.*?)</details>', told, re.DOTALL)
    assert fold
    assert re.findall(r'value="(class-\d+)"', fold[1]) == names
