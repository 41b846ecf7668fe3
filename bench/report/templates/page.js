"use strict";
// Draws the charts from their values, and lets a reader filter, sort and zoom. No network.
(() => {
  const values = JSON.parse(document.getElementById("values").textContent);
  const models = ["#0072B2", "#C24E00", "#00805C", "#A8497F", "#8F6400", "#2B83BA", "#6A3D9A", "#5C5C5C"];
  const modelsDark = ["#5FB4F0", "#FF9A5C", "#3CCFA0", "#EE9CC8", "#F0C24E", "#8FD3F4", "#C4A5F0", "#C8CDD2"];
  const outcomes = { ok: "#9FB1BF", throttled: "#E69F00", quota: "#B8860B", overloaded: "#D9B33B", auth: "#8E44AD",
    invalid: "#CC79A7", server_error: "#D55E00", timeout: "#0072B2", connect: "#5B6770", protocol: "#8C510A",
    stream_error: "#C0392B", truncated: "#3FA0DB", empty: "#009E73", censored: "#C9CED3" };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const variable = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function colour(role) {
    const [kind, word] = role.split(":");
    if (kind === "model") return (dark.matches ? modelsDark : models)[Number(word) % models.length];
    if (kind === "outcome") return outcomes[word] ?? variable("--muted");
    return variable("--" + kind) || variable("--ink");
  }

  function unpacked(text) {
    if (text === null) return null;
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let place = 0; place < bytes.length; place++) bytes[place] = letters.charCodeAt(place);
    return new Float32Array(bytes.buffer);
  }

  // -- one chart ------------------------------------------------------------------------------------

  const dashes = { solid: [], dashed: [5, 3], dotted: [1, 3] };
  const arrays = ["x", "y", "low", "high", "width", "base", "kind", "ids", "amount"];
  const drawn = [];  // series and marks: {chart, about, role, renderers, texts, lines, key, ...}, what filters and the theme act on
  const plots = [], places = [...document.querySelectorAll(".chart")];
  const overTime = Object.values(values).filter(chart => chart.time);
  const begins = overTime.map(chart => chart.x.begin), ends = overTime.map(chart => chart.x.end);
  const timeRange = overTime.length ? new Bokeh.Range1d({ start: Math.min(...begins), end: Math.max(...ends) }) : null;

  function steps(series) {  // a line that holds each value for its bin
    const found = { x: [], y: [], at: [] }, width = series.width;
    for (const name of ["low", "high"]) if (series[name]) found[name] = [];
    series.x.forEach((at, place) => {
      const end = width ? at + width[place] : series.x[place + 1] ?? at, middle = width ? (at + end) / 2 : at;
      found.x.push(at, end);
      found.at.push(middle, middle);  // by which a filter judges a bin, whose end is where the next one begins
      for (const name of ["y", "low", "high"]) found[name]?.push(series[name][place], series[name][place]);
    });
    return found;
  }

  function draw(chart, place) {
    const plotting = Bokeh.Plotting, category = chart.y.scale === "category";
    const small = innerWidth < 700;
    const options = {
      sizing_mode: "stretch_width", height: Math.round(19 * 16 * chart.height * (small && chart.y.categories.length ? 1.5 : 1)), toolbar_location: small ? null : "right",
      tools: "xpan,box_zoom,xwheel_zoom,reset,save", output_backend: "canvas",
      x_axis_type: chart.x.scale === "log" ? "log" : "linear", y_axis_type: chart.y.scale === "log" ? "log" : "linear",
      x_axis_label: chart.x.label, y_axis_label: category ? null : chart.y.label,
    };
    const plot = plotting.figure(options);
    plot.toolbar.autohide = true;
    plot.toolbar.logo = null;
    plot.toolbar.active_scroll = null;
    if (small || matchMedia("(pointer: coarse)").matches) plot.toolbar.active_drag = null;
    plot.background_fill_color = null;
    plot.border_fill_color = null;
    plot.outline_line_color = null;
    if (chart.time) {
      plot.x_range = timeRange;
      plot.min_border_left = small ? 48 : 68;  // so that all of them stand below each other
      plot.min_border_right = small ? 4 : 30;
    } else if (chart.x.begin !== null) {
      plot.x_range = new Bokeh.Range1d({ start: chart.x.begin, end: chart.x.end });
    }
    if (chart.y.begin !== null) plot.y_range = new Bokeh.Range1d({ start: chart.y.begin, end: chart.y.end });
    plot.ygrids[0].grid_line_alpha = category ? 0 : 1;
    plot.xgrids[0].grid_line_alpha = category ? 1 : 0;
    for (const axis of [plot.xaxes[0], plot.yaxes[0]]) {
      axis.minor_tick_line_color = null;
      axis.axis_line_color = null;
      axis.setv({ axis_label_text_font_style: "normal", axis_label_text_font_size: "13px", major_label_text_font_size: "12px" });
      axis.formatter = new Bokeh.NumeralTickFormatter({ format: "0,0.[000]" });
    }
    for (const [axis, grid, range, given] of [[plot.xaxes[0], plot.xgrids[0], plot.x_range, chart.x], [plot.yaxes[0], plot.ygrids[0], plot.y_range, chart.y]])
      if (given.ticks.length) setTicks(axis, grid, range, given);
    if (category) {
      const ticks = chart.y.categories.map((_, index) => index + 0.25);
      plot.yaxes[0].ticker = new Bokeh.FixedTicker({ ticks, minor_ticks: [] });
      const room = small ? 14 : 44, half = Math.ceil(room / 2);  // its end tells a stage from others of the same model
      const short = word => word.length > room ? `${word.slice(0, half)}…${word.slice(1 + half - room)}` : word;
      plot.yaxes[0].major_label_overrides = new Map(ticks.map((tick, index) => [tick, short(chart.y.categories[index])]));
      plot.yaxes[0].major_label_text_font_size = "13px";
    }
    for (const span of chart.spans) {
      plot.add_layout(new Bokeh.BoxAnnotation({ left: span.begin, right: span.end, fill_color: "#8a97a3", fill_alpha: 0.15,
        line_color: null, level: "underlay" }));
      if (fits(place, chart, span))
        drawn.push({ chart, role: "muted", about: {}, renderers: [], aside: true, texts: [text(plot, (span.begin + span.end) / 2, chart.y.end,
          span.text, "center", 4)] });
    }
    const shaded = new Set(chart.spans.map(span => span.text));
    for (const stage of chart.stages.filter(stage => !shaded.has(stage.text))) {
      const line = new Bokeh.Span({ location: stage.begin, dimension: "height", line_dash: [2, 3], line_width: 1 });
      plot.add_layout(line);
      const named = fits(place, chart, stage);
      drawn.push({ chart, role: "muted", about: {}, renderers: [], aside: true, lines: [line],
        texts: named ? [text(plot, (stage.begin + stage.end) / 2, chart.y.end, stage.text, "center", 4)] : [] });
    }
    const legend = place.closest("figure").querySelector(".legend"), keys = new Map();
    const keyOf = (title, role, stroke) => {
      if (!title) return null;
      if (!keys.has(title)) keys.set(title, button(legend, title, role, stroke));
      return keys.get(title);
    };
    for (const packed of chart.series) {
      const series = { ...packed };
      for (const name of arrays) series[name] = unpacked(packed[name]);
      const one = { chart, series, about: series.about, role: series.role, texts: [], part: series.part, kinds: series.kinds };
      one.key = keyOf(series.title, series.role, ["stack", "bars"].includes(series.form) ? "block" : series.stroke);
      one.kindKeys = series.kinds.map(kind => keyOf(kind.title, kind.role, "block"));
      for (const key of [one.key, ...one.kindKeys]) key?.of.add(one);
      glyphs(plot, chart, one);
      if (series.form === "ticks")
        one.texts = series.labels.map((words, index) => text(plot, series.x[index], series.y[index] + 0.62, words,
          share(chart.x, series.x[index]) > 0.93 ? "right" : "center", -3 - 13 * level(chart, series, index)));
      drawn.push(one);
    }
    for (const mark of chart.marks) {
      const line = new Bokeh.Span({ location: mark.at, dimension: mark.axis === "y" ? "width" : "height", line_dash: [5, 4],
        line_width: 1.5 });
      plot.add_layout(line);
      const words = mark.axis === "y" ? text(plot, chart.x.begin ?? 0, mark.at, " " + mark.text, "left", 3)
        : text(plot, mark.at, chart.y.end ?? 0, " " + mark.text, "left", 14);
      drawn.push({ chart, about: mark.about, role: mark.role, renderers: [], aside: true, lines: [line], texts: [words] });
    }
    plots.push(plot);
    dress(plot);
    for (const one of drawn) if (one.chart === chart) tint(one);
    return plot;
  }

  const LETTER = 6.8, MARGINS = 100;  // pixels of a stage's name, and beside what is drawn

  function fits(place, chart, { begin, end, text }) {  // whether there is room for the name of a part of the time
    return (end - begin) / (chart.x.end - chart.x.begin) * (place.clientWidth - MARGINS) > LETTER * text.length;
  }

  function setTicks(axis, grid, range, given) {  // where nothing is zoomed; in a part of the axis Bokeh's own
    const own = axis.ticker, fixed = new Bokeh.FixedTicker({ ticks: given.ticks, minor_ticks: [] });
    const set = () => {
      const ticker = range.start === given.begin && range.end === given.end ? fixed : own;
      if (axis.ticker !== ticker) axis.ticker = grid.ticker = ticker;
    };
    set();
    range.change.connect(set);
  }

  const label = axis => axis.title + (axis.unit ? ", " + axis.unit : "");

  function share(axis, value) {  // where a value stands between the axis's ends, from 0 to 1
    const begin = axis.begin ?? 0, end = axis.end ?? 1;
    return axis.scale === "log" ? Math.log(value / begin) / Math.log(end / begin) : (value - begin) / (end - begin);
  }

  function level(chart, series, index) {  // labels that would collide stand above each other
    const at = value => share(chart.x, value);
    const room = 78 / Math.max(innerWidth - 160, 240);
    const levels = [];
    for (let place = 0; place <= index; place++) {
      let free = 0;
      while (levels.some((other, before) => other === free && at(series.x[place]) - at(series.x[before]) < room)) free++;
      levels.push(Math.min(free, 2));
    }
    return levels[index];
  }

  function text(plot, x, y, words, align, offset) {
    const made = new Bokeh.Label({ x, y, text: words, text_align: align, text_baseline: offset > 0 ? "top" : "bottom",
      y_offset: -offset, text_font_size: "12px" });
    plot.add_layout(made);
    return made;
  }

  function glyphs(plot, chart, one) {
    const { series } = one, { form } = series, ref = field => ({ field });
    const painted = (series.kinds.length > 0 && form !== "line") || form === "cells";  // value by value
    one.data = columns(chart, series);
    const source = one.source = new Bokeh.ColumnDataSource({ data: one.data });
    const found = one.renderers = [];
    const paint = painted ? { fill_color: ref("colour"), fill_alpha: ref("strength") } : {};
    one.painted = painted;
    if (series.low && series.high)
      found.push(plot.varea({ x: ref("x"), y1: ref("low"), y2: ref("high"), source, fill_alpha: 0.18 }));
    if (form === "area") {
      found.push(plot.varea({ x: ref("x"), y1: one.data.base ? ref("base") : 0, y2: ref("y"), source, fill_alpha: 0.3 }));
      found.push(plot.line({ x: ref("x"), y: ref("y"), source, line_width: 1.3 }));
    } else if (form === "points") {
      found.push(plot.scatter({ x: ref("x"), y: ref("y"), source, size: 4, fill_alpha: 0.4, line_color: null, ...paint }));
    } else if (form === "bars" || form === "stack" || form === "cells") {
      found.push(plot.vbar({ x: ref("x"), top: ref("y"), bottom: one.data.base ? ref("base") : 0,
        width: one.data.width ? ref("width") : 0.8, source, line_color: null, ...(form === "stack" ? {} : paint),
        ...(series.ids ? { line_color: ref("colour"), line_alpha: ref("strength"), line_width: 0.6 } : {}) }));  // the shortest are seen too
    } else if (form === "ticks") {
      found.push(plot.segment({ x0: ref("x"), y0: ref("y"), x1: ref("x"), y1: ref("top"), source, line_width: 1.5 }));
    } else {
      found.push(plot.line({ x: ref("x"), y: ref("y"), source, line_width: series.stroke === "solid" ? 2 : 1.3,
        line_dash: dashes[series.stroke] }));
      if (form === "line" && series.x.length < (chart.time ? 2 : 60))
        found.push(plot.scatter({ x: ref("x"), y: ref("y"), source, size: 5, line_color: null }));
      else if (one.data.lone) found.unshift(plot.scatter({ x: ref("x"), y: ref("lone"), source, size: 4, line_color: null }));
    }
    if (form !== "area" || chart.y.scale !== "category") {
      plot.add_tools(new Bokeh.HoverTool({ renderers: [found[found.length - 1]], tooltips: tips(chart, one), visible: false,
        mode: form === "line" || form === "step" ? "vline" : "mouse", point_policy: "snap_to_data", line_policy: "nearest" }));
    }
  }

  function columns(chart, series) {  // what Bokeh is given of a series before anything is filtered
    const data = series.form === "step" ? steps(series) : {};
    for (const name of arrays)
      if (series[name] && !data[name] && !(series.form === "step" && name === "width")) data[name] = Array.from(series[name]);
    if (series.labels.length && series.form !== "step") data.label = series.labels;
    if (series.form === "bars" && !series.kinds.length) data.amount = data.y.map((top, index) => top - (data.base?.[index] ?? 0));
    if (series.form === "ticks") data.top = data.y.map(value => value + 0.62);
    if (series.kinds.length) {
      data.label = data.kind.map(kind => series.kinds[kind].label);
      data.colour = data.kind.map(() => "#888");
      data.strength = data.kind.map(kind => (series.form === "points" ? 0.4 : 1) * series.kinds[kind].shade);
    } else if (series.form === "cells") {
      data.colour = data.x.map(() => "#888");
      data.strength = data.x.map(() => 1);
    }
    if (series.form === "line" && data.y.some(isNaN))  // between gaps there is no line to see
      data.lone = data.y.map((value, place) => isNaN(data.y[place - 1] ?? NaN) && isNaN(data.y[place + 1] ?? NaN) ? value : NaN);
    if (series.form === "stack") {
      data.amount = data.y;
      data.base = data.x.map(() => 0);
    }
    return data;
  }

  function tips(chart, one) {
    const { series } = one, { form } = series, about = Object.values(series.about).join(", "), found = [];
    const x = [label(chart.x), "@x{0,0.[000]}"];
    if (form === "cells") return [x, [label(chart.y), "@base{0,0.[0]} to @y{0,0.[0]}"], ["answers", "@amount{0,0}"]];
    if (form === "stack") return [["", series.title || about], x, [label(chart.y), "@amount{0,0.[000]}"]];
    if (series.title || (!one.data.label && about)) found.push(["", series.title || about]);
    if (one.data.label) found.push(["", "@label"]);
    if (series.ids) found.push(["request", "@ids{0}"]);
    if (series.ids && form === "bars") return [...found, ["took, s", "@width{0.[0000]}"]];
    found.push(x);
    if (chart.y.scale !== "category") found.push([label(chart.y), form === "bars" ? "@amount{0,0.[000]}" : "@y{0,0.[000]}"]);
    return found;
  }

  // -- legend, filters, theme -------------------------------------------------------------------------

  function button(legend, title, role, stroke) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = title;
    made.className = stroke;
    made.setAttribute("aria-pressed", "true");
    made.dataset.role = role;
    legend.append(made);
    const key = { made, on: true, of: new Set() };
    made.addEventListener("click", () => {
      key.on = !key.on;
      made.setAttribute("aria-pressed", String(key.on));
      refresh();
    });
    return key;
  }

  const form = document.getElementById("filters");
  const titles = Object.fromEntries([...form?.querySelectorAll("fieldset[data-facet]") ?? []]
    .map(set => [set.dataset.facet, set.dataset.many]));

  function choice() {  // the words chosen of each facet, and which facets leave some out
    const words = {}, some = {};
    for (const set of form?.querySelectorAll("fieldset[data-facet]") ?? []) {
      const boxes = [...set.querySelectorAll("input")];
      words[set.dataset.facet] = new Set(boxes.filter(box => box.checked).map(box => box.value));
      some[set.dataset.facet] = boxes.some(box => !box.checked);
    }
    const fits = about => Object.entries(words).every(([facet, chosen]) => about[facet] == null || chosen.has(about[facet]));
    return { words, some, fits };
  }

  const near = place => {  // how far a chart is from what is seen, in pixels
    const { top, bottom } = place.getBoundingClientRect();
    return Math.max(0, top - innerHeight, -bottom);
  };
  const stale = new Set();  // places of charts that still show what was chosen before
  const show = (place, chosen) => {
    stale.delete(place);
    const chart = values[place.dataset.chart];
    filter(chart, drawn.filter(one => one.chart === chart), chosen);
  };

  const folds = [...form?.querySelectorAll("details.folded") ?? []];

  function tellFolds() {  // how many words of each are chosen
    for (const fold of folds) {
      const boxes = [...fold.querySelectorAll("input")], on = boxes.filter(box => box.checked).length;
      fold.querySelector("summary").textContent = `${on < boxes.length ? `${on} of ` : ""}${boxes.length} ${fold.closest("fieldset").dataset.many}`;
    }
  }

  for (const fold of folds) {
    for (const button of fold.querySelectorAll("button")) button.addEventListener("click", () => {
      for (const box of fold.querySelectorAll("input")) box.checked = button.value === "yes";
      refresh();
    });
    fold.addEventListener("keydown", event => {
      if (event.key !== "Escape" || !fold.open) return;
      fold.open = false;
      fold.querySelector("summary").focus();
    });
    fold.addEventListener("focusout", ({ relatedTarget }) => { if (relatedTarget && !fold.contains(relatedTarget)) fold.open = false; });
    document.addEventListener("pointerdown", ({ target }) => { if (!fold.contains(target)) fold.open = false; });
  }

  function refresh() {
    tellFolds();
    const chosen = choice();
    for (const place of places) if (place.dataset.drawn) stale.add(place);
    document.documentElement.dataset.settled = stale.size ? "no" : "yes";
    for (const place of [...stale].filter(place => near(place) === 0)) show(place, chosen);
    later();
    for (const sentence of document.querySelectorAll(".sentence")) sentence.hidden = !chosen.fits({ ...sentence.dataset });
    let rows = 0, all = 0;
    for (const table of document.querySelectorAll("table.sortable")) {
      const lines = [...table.tBodies[0].rows], parts = lines.filter(row => row.classList.contains("part"));
      const told = Object.keys(titles).filter(facet => chosen.some[facet]
        && (facet === "name" ? lines : parts).some(row => row.dataset[facet] !== undefined));
      for (const row of lines) {  // a whole holds what was left out, so its parts stand for themselves
        const whole = !row.classList.contains("part") && told.some(facet => row.dataset[facet] === undefined);
        row.hidden = !chosen.fits({ ...row.dataset }) || whole;
        all += 1;
        rows += !row.hidden;
      }
      untold(table.closest(".tabled"), lines.filter(row => row.dataset.model !== undefined).map(row => row.dataset), chosen, lines.some(row => !row.hidden));
    }
    const told = document.getElementById("shown");
    if (told) told.value = rows === all ? "" : `${rows} of ${all} rows shown`;
  }

  function untold(place, abouts, { some }, any, { known = {}, left = "" } = {}) {  // what a filter cannot take out of this part
    const note = place?.querySelector(".untold");
    if (!note) return;
    const open = abouts.length ? Object.keys(titles).filter(facet => some[facet] && !known[facet] && !abouts.some(about => about[facet] != null)) : [];
    const whole = open.filter(facet => facet !== "outcome").map(facet => titles[facet]);  // outcomes: a latency is of answers alone
    note.textContent = any ? [left, whole.length ? `All ${whole.join(" and ")} are in here: it does not tell them apart.` : "",
      open.includes("outcome") ? "It does not tell outcomes apart." : ""].filter(Boolean).join(" ") : "Nothing of this is chosen.";
    note.hidden = !note.textContent;
  }

  function fewer(ones) {  // whether the filters leave out some of the requests that a chart draws one by one, in words
    const less = one => !one.renderers[0].visible || one.source.data.x.length < one.data.x.length;
    return ones.some(one => one.series?.ids && one.kinds.length && less(one)) ? "Of these requests only the chosen ones are drawn." : "";
  }

  function filter(chart, ones, chosen) {
    const parts = ones.some(one => one.part), floor = new Map();
    const outside = chart.stages.length && chosen.some.stage
      ? chart.stages.filter(stage => !chosen.words.stage.has(stage.text)) : [];
    const left = x => outside.some(stage => x >= stage.begin && x < stage.end);
    let any = false;
    for (const one of ones) {
      const whole = parts && !one.part && !one.kinds?.length && one.about.name == null && !one.aside;
      let visible = chosen.fits(one.about) && (one.key?.on ?? true) && (one.part ? chosen.some.name : !(whole && chosen.some.name));
      const keep = one.kinds?.length ? one.kinds.map((kind, place) => chosen.fits(kind.about) && (one.kindKeys[place]?.on ?? true)) : null;
      if (keep && !keep.some(Boolean)) visible = false;
      for (const part of [...one.renderers, ...(one.texts ?? []), ...(one.lines ?? [])])
        if (part.visible !== visible) part.visible = visible;
      if (visible && one.source) feed(one, keep, one.about.stage == null ? left : () => false, outside, floor);
      if (visible && !one.aside && (!one.source || something(one.source.data))) any = true;
    }
    for (const key of new Set(ones.flatMap(one => [one.key, ...(one.kindKeys ?? [])]).filter(Boolean)))
      key.made.hidden = ![...key.of].some(one => chosen.fits(one.about) && (one.part ? chosen.some.name : true)
        && (one.key !== key || one.part || !(parts && chosen.some.name && one.about.name == null && !one.kinds.length))
        && (one.key === key || one.kinds.some((kind, place) => one.kindKeys[place] === key && chosen.fits(kind.about))));
    untold(document.getElementById(`figure-${chart.name}`), ones.flatMap(one => [one.about, ...(one.kinds ?? []).map(kind => kind.about)]),
      chosen, any || ones.length === 0, { known: { stage: chart.stages.length > 0 }, left: fewer(ones) });
  }

  const something = data => data.x.length > 0 && (!data.y || data.y.some(value => !isNaN(value)));

  function feed(one, keep, left, outside, floor) {  // the values that are left, as Bokeh draws them
    const { series, data } = one;
    const told = JSON.stringify([keep, outside, dark.matches, series.form === "stack" ? [...floor.values()].reduce((a, b) => a + b, 0) : 0]);
    if (series.form !== "stack" && one.told === told) return;
    one.told = told;
    if (series.form === "stack" || series.form === "cells") return one.source.setv({ data: summed(one, keep, left, floor) });
    if (!keep && !outside.length) {
      if (one.source.data !== data) one.source.data = data;
    } else if (!keep) {
      one.source.data = { ...data, y: data.y.map((value, place) => left((data.at ?? data.x)[place]) ? NaN : value) };
    } else if (series.form === "line") {  // a gap in place of each value that is left out
      one.source.data = { ...data, y: data.y.map((value, place) => keep[data.kind[place]] && !left(data.x[place]) ? value : NaN) };
    } else {
      const stays = data.kind.map((kind, place) => keep[kind] && !left(data.x[place]));
      const colours = series.kinds.map(kind => colour(kind.role));
      const some = Object.fromEntries(Object.entries(data).map(([name, column]) => [name, column.filter((_, place) => stays[place])]));
      some.colour = some.kind.map(kind => colours[kind]);
      one.source.data = some;
    }
  }

  function summed({ series, data }, keep, left, floor) {  // equal places together: stacks on what lies below, cells by their number
    const found = { x: [], y: [], base: [], width: [], amount: [] }, places = new Map(), stack = series.form === "stack";
    for (let place = 0; place < data.x.length; place++) {
      const x = data.x[place];
      if ((keep && !keep[data.kind[place]]) || left(x)) continue;
      const name = stack ? x : `${x}|${data.base[place]}`;
      if (!places.has(name)) {
        places.set(name, found.x.length);
        found.x.push(x);
        found.y.push(stack ? 0 : data.y[place]);
        found.base.push(stack ? floor.get(x) ?? 0 : data.base[place]);
        found.width.push(data.width[place]);
        found.amount.push(0);
      }
      found.amount[places.get(name)] += data.amount[place];
    }
    if (stack) {
      found.y = found.amount.map((many, place) => found.base[place] + many);
      found.x.forEach((x, place) => floor.set(x, found.y[place]));
    } else {
      const most = found.amount.reduce((one, other) => Math.max(one, other), 1), ink = colour(series.role);
      found.strength = found.amount.map(many => 0.08 + 0.92 * Math.sqrt(many / most));
      found.colour = found.amount.map(() => ink);
    }
    return found;
  }

  function dress(plot) {
    const muted = variable("--muted"), line = variable("--line");
    for (const axis of [plot.xaxes[0], plot.yaxes[0]])
      axis.setv({ major_label_text_color: muted, axis_label_text_color: muted, major_tick_line_color: null });
    plot.xgrids[0].grid_line_color = line;
    plot.ygrids[0].grid_line_color = line;
  }

  function tint(one) {
    const chosen = colour(one.role);
    for (const renderer of one.painted && one.series.form !== "stack" ? [] : one.renderers) {
      const glyph = renderer.glyph;
      if (glyph.fill_color !== undefined) glyph.fill_color = { value: chosen };
      if (glyph.line_color !== undefined && glyph.type !== "Scatter" && glyph.type !== "VBar") glyph.line_color = { value: chosen };
    }
    for (const words of one.texts ?? []) words.text_color = chosen;
    for (const mark of one.lines ?? []) mark.line_color = chosen;
    one.key?.made.style.setProperty("--of", chosen);
    (one.kindKeys ?? []).forEach((key, place) => key?.made.style.setProperty("--of", colour(one.kinds[place].role)));
  }

  function paint() {  // after a change from light to dark
    plots.forEach(dress);
    drawn.forEach(tint);
    refresh();
  }

  // -- tables -------------------------------------------------------------------------------------------

  function families(rows, order) {  // sorted, each with its parts below it, which are sorted too
    const found = [];
    for (const row of rows) row.classList.contains("part") && found.length ? found.at(-1).push(row) : found.push([row]);
    return found.sort((one, other) => order(one[0], other[0])).flatMap(([whole, ...parts]) => [whole, ...parts.sort(order)]);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], original = [...body.rows];
    [...table.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const next = { none: "descending", descending: "ascending", ascending: "none" }[head.getAttribute("aria-sort") ?? "none"];
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (next !== "none") head.setAttribute("aria-sort", next);
      const worth = row => { const cell = row.cells[column]; return cell.dataset.value === undefined ? null : Number(cell.dataset.value); };
      const sign = next === "ascending" ? 1 : -1;
      const order = (one, other) => {
        const [a, b] = [worth(one), worth(other)];
        if (a === null && b === null) return sign * one.cells[column].textContent.localeCompare(other.cells[column].textContent);
        if (a === null || b === null) return a === null ? 1 : -1;
        return sign * (a - b);
      };
      body.append(...(next === "none" ? original : families(original, order)));
    }));
  }

  function fields(table) {  // what is shown, a list for each line; 91 / 121 / – below p50 / p95 / p99 is three columns
    const shown = [...table.tBodies[0].rows].filter(row => !row.hidden);
    const heads = [...table.tHead.rows[0].cells].map(head => {
      const unit = head.querySelector("small")?.textContent ?? "", parts = unit.split(" / ");
      const title = (head.querySelector("button").firstChild.textContent).trim();
      const names = parts.length > 1 ? parts.map((name, place) => `${title} ${place ? name : name.split(", ").at(-1)}`) : [title];
      return { names, unit: parts.length > 1 && parts[0].includes(", ") ? parts[0].split(", ")[0] : parts.length > 1 ? "" : unit };
    });
    const words = cell => [...cell.childNodes].filter(node => node.nodeName !== "DETAILS")
      .map(node => node.textContent.trim()).filter(Boolean).join(": ");
    return [heads.flatMap(({ names, unit }) => names.map(name => unit ? `${name}, ${unit}` : name)),
      ...shown.map(row => [...row.cells].flatMap((cell, place) => {
        const wanted = heads[place].names.length, found = words(cell).split(" / ");
        if (wanted === 1) return [words(cell)];
        return found.length === wanted ? found : [words(cell), ...Array(wanted - 1).fill("")];
      }))];
  }

  function csv(table) {  // a spreadsheet takes what begins with = or @ for a formula: a ' before it says that it is none
    const quoted = text => `"${(/^[=@+\t\r]|^-[^\d.]/.test(text) ? "'" + text : text).replaceAll('"', '""')}"`;
    return fields(table).map(line => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  for (const button of document.querySelectorAll("button.csv")) button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv(document.getElementById(button.dataset.of))], { type: "text/csv" }));
    link.download = `${document.querySelector("h1").textContent}-${button.dataset.of.replace("table-", "")}.csv`.replace(/[^\w.-]+/g, "-");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  for (const button of document.querySelectorAll(".command .copy")) button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(code);  // for where the clipboard is closed
    try { await navigator.clipboard.writeText(code.textContent); button.firstChild.textContent = "Copied"; } catch { /* selected */ }
  });

  // What of a table is out of sight: its edge fades, and a line above says so.
  const narrowed = new ResizeObserver(entries => { for (const { target } of entries) hint(target.closest(".scroll")); });

  function hint(scroll) {
    const hidden = scroll.scrollWidth - scroll.clientWidth, note = scroll.closest(".tabled")?.querySelector(".wider");
    scroll.classList.toggle("more", hidden - Math.abs(scroll.scrollLeft) > 1);
    if (note) note.hidden = hidden <= 1;
  }

  for (const scroll of document.querySelectorAll(".scroll")) {
    for (const part of [scroll, scroll.firstElementChild]) narrowed.observe(part);
    scroll.addEventListener("scroll", () => hint(scroll), { passive: true });
  }

  // -- time -----------------------------------------------------------------------------------------------

  const from = document.getElementById("from"), to = document.getElementById("to");

  if (timeRange) {
    const whole = [timeRange.start, timeRange.end], round = value => Math.round(value * 1000) / 1000;
    const tell = () => { [from.value, to.value] = [round(timeRange.start), round(timeRange.end)]; };
    const zoom = () => { if (Number(from.value) < Number(to.value)) timeRange.setv({ start: Number(from.value), end: Number(to.value) }); };
    for (const box of [from, to]) box.addEventListener("change", zoom);
    for (const end of ["start", "end"]) timeRange.properties[end].change.connect(tell);
    document.getElementById("whole").addEventListener("click", () => timeRange.setv({ start: whole[0], end: whole[1] }));
    tell();
  }

  // -- definitions ----------------------------------------------------------------------------------------

  const meaning = document.getElementById("meaning");

  function defined(target) {  // what says what this is: itself, or the head of its column
    const own = target.closest?.("[data-meaning]");
    if (own) return own;
    const cell = target.closest?.("table.sortable tbody td");
    return cell?.closest("table").tHead.rows[0].cells[cell.cellIndex].querySelector("[data-meaning]");
  }

  function explain(target) {
    const source = target && defined(target);
    meaning.hidden = !source;
    if (!source) return;
    const title = source.closest("th, td")?.querySelector("button")?.firstChild.textContent.trim();
    meaning.textContent = (title ? title + ": " : "") + source.dataset.meaning;
    const at = (target.closest("td, th") ?? source).getBoundingClientRect(), own = meaning.getBoundingClientRect();
    const below = at.bottom + own.height + 8 < innerHeight;
    meaning.style.left = `${Math.max(4, Math.min(at.left, innerWidth - own.width - 12))}px`;
    meaning.style.top = `${below ? at.bottom + 4 : Math.max(4, at.top - own.height - 4)}px`;
  }

  for (const source of document.querySelectorAll("button[data-meaning]")) source.setAttribute("aria-describedby", "meaning");
  for (const event of ["mouseover", "focusin"]) document.addEventListener(event, ({ target }) => explain(target));
  document.addEventListener("focusout", () => explain(null));
  document.addEventListener("scroll", () => explain(null), { capture: true, passive: true });
  document.addEventListener("keydown", ({ key }) => { if (key === "Escape") explain(null); });

  // -- print ----------------------------------------------------------------------------------------------

  // Paper has another width: a picture of each chart is printed, and of one that is not drawn yet its figures.
  addEventListener("beforeprint", () => {
    const views = window.Bokeh ? Object.values(Bokeh.index) : [];
    for (const place of places) {
      const view = views.find(one => place.contains(one.el)), figure = place.closest("figure");
      if (view) {
        const { canvas } = view.export("png", true), ink = canvas.getContext("2d");
        canvas.className = "printed";
        canvas.style.width = `${place.clientWidth}px`;
        ink.globalCompositeOperation = "destination-over";
        ink.setTransform(1, 0, 0, 1, 0, 0);
        ink.fillStyle = variable("--paper");
        ink.fillRect(0, 0, canvas.width, canvas.height);
        place.after(canvas);
      } else if (!figure.querySelector("details").open) {
        figure.querySelector("details").open = true;
        figure.classList.add("opened");
      }
      figure.classList.toggle("undrawn", !view);
    }
  });
  addEventListener("afterprint", () => {
    for (const canvas of document.querySelectorAll("canvas.printed")) canvas.remove();
    for (const figure of document.querySelectorAll("figure.opened")) {
      figure.classList.remove("opened");
      figure.querySelector("details").open = false;
    }
  });

  // -- begin ----------------------------------------------------------------------------------------------

  const undrawn = new Set(places), targets = [], pause = time => new Promise(resolve => setTimeout(resolve, time));
  const frame = () => new Promise(resolve => { requestAnimationFrame(resolve); setTimeout(resolve, 100); });  // of a hidden tab: none
  const within = (charts, reach) => [...charts].filter(place => near(place) <= reach);
  const nearest = charts => [...charts].sort((one, other) => near(one) - near(other))[0];
  let whole = null, adding = null, waiting = 0, moved = 0;

  async function add(now) {
    for (const place of now) {
      undrawn.delete(place);
      const chart = values[place.dataset.chart], plot = draw(chart, place);
      place.dataset.drawn = "yes";
      show(place, choice());
      targets.push(place);
      whole.add_root(plot);
    }
    while (now.some(place => !place.children.length)) await pause(0);
    await frame();
  }

  const mark = () => {
    document.documentElement.dataset.settled = stale.size ? "no" : "yes";
    document.documentElement.dataset.drawn = undrawn.size ? "no" : "yes";
  };

  async function drawNear() {  // what is seen, and then what a short way would show
    for (const reach of [0, innerHeight / 2])
      for (let now; (now = within(undrawn, reach)).length;) await add(reach ? now.slice(0, 1) : now);
    for (const place of within(stale, innerHeight / 2)) show(place, choice());
    mark();
  }
  const look = () => adding ??= drawNear().finally(() => adding = null);

  // What is out of sight, one by one, when the reader does nothing.
  const QUIET = 400, REST = 4000;  // ms after the last scroll or choice: for what is drawn already, and for the others
  const whenIdle = window.requestIdleCallback ? work => requestIdleCallback(work, { timeout: 1000 }) : setTimeout;
  function later(after = QUIET) {
    clearTimeout(waiting);
    if (whole && (stale.size || undrawn.size)) waiting = setTimeout(() => whenIdle(quiet), after);
  }
  async function quiet() {
    const rest = moved + REST - performance.now();
    await adding;
    if (stale.size) show(nearest(stale), choice());
    else if (rest > 0) return later(rest);
    else await add([nearest(undrawn)]);
    mark();
    later(stale.size ? 0 : 100);
  }
  const move = () => { moved = performance.now(); later(); };

  async function begin() {
    // The page sets no style for what is inside a chart; asked for each of its hundreds of properties, a browser would
    // work out all styles anew each time.
    const visuals = Bokeh.require?.("core/visuals/visual")?.VisualProperties;
    if (visuals?.prototype._get_css_value) visuals.prototype._get_css_value = () => "";
    whole = new Bokeh.Document();  // one, since charts over time share their range
    await Bokeh.embed.add_document_standalone(whole, document.body, targets);
    await look();
    const seen = new IntersectionObserver(look, { rootMargin: "50% 0px" });
    for (const place of places) seen.observe(place);
    move();
  }

  refresh();
  (places.length ? begin() : Promise.resolve()).then(() => document.documentElement.dataset.ready = "yes");
  addEventListener("scroll", move, { passive: true });
  dark.addEventListener("change", paint);
  form?.addEventListener("submit", event => event.preventDefault());
  form?.addEventListener("change", ({ target }) => { if (target.type === "checkbox") refresh(); });
})();
