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
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  // -- one chart ------------------------------------------------------------------------------------

  const dashes = { solid: [], dashed: [5, 3], dotted: [1, 3] };
  const drawn = [];  // {about, role, renderers, legend, plot}: what filters and the theme act on
  const plots = [];
  let timeRange = null;

  function steps(series) {  // a line that holds each value for its bin
    const x = [], y = [], width = series.width;
    series.x.forEach((at, place) => {
      const until = width ? at + width[place] : series.x[place + 1] ?? at;
      x.push(at, until);
      y.push(series.y[place], series.y[place]);
    });
    return { x, y };
  }

  function draw(chart, place) {
    const plotting = Bokeh.Plotting, category = chart.y.scale === "category";
    const small = innerWidth < 700;
    const options = {
      sizing_mode: "stretch_width", height: Math.round(19 * 16 * chart.height * (small && category ? 1.5 : 1)), toolbar_location: small ? null : "right",
      tools: "xpan,box_zoom,xwheel_zoom,reset,save", output_backend: "canvas",
      x_axis_type: chart.x.scale === "log" ? "log" : "linear", y_axis_type: chart.y.scale === "log" ? "log" : "linear",
      x_axis_label: label(chart.x), y_axis_label: category ? null : label(chart.y),
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
      timeRange ??= new Bokeh.Range1d({ start: chart.x.begin, end: chart.x.end });
      plot.x_range = timeRange;
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
    for (const [axis, given] of [[plot.xaxes[0], chart.x], [plot.yaxes[0], chart.y]])
      if (given.ticks.length) axis.ticker = new Bokeh.FixedTicker({ ticks: given.ticks, minor_ticks: [] });
    if (category) {
      const ticks = chart.y.categories.map((_, index) => index + 0.25);
      plot.yaxes[0].ticker = new Bokeh.FixedTicker({ ticks, minor_ticks: [] });
      const short = word => small && word.length > 14 ? word.slice(0, 13) + "…" : word;
      plot.yaxes[0].major_label_overrides = new Map(ticks.map((tick, index) => [tick, short(chart.y.categories[index])]));
      plot.yaxes[0].major_label_text_font_size = "13px";
    }
    for (const span of chart.spans) {
      plot.add_layout(new Bokeh.BoxAnnotation({ left: span.begin, right: span.end, fill_color: "#8a97a3", fill_alpha: 0.15,
        line_color: null, level: "underlay" }));
      if ((span.end - span.begin) / (chart.x.end - chart.x.begin) > 0.05)
        drawn.push({ role: "muted", about: {}, renderers: [], texts: [text(plot, (span.begin + span.end) / 2, chart.y.end,
          span.text, "center", 4)] });
    }
    const legend = place.closest("figure").querySelector(".legend"), keys = new Map();
    for (const packed of chart.series) {
      const series = { ...packed };
      for (const name of ["x", "y", "low", "high", "width", "base"]) series[name] = unpacked(packed[name]);
      const one = { about: series.about, role: series.role, texts: [], renderers: glyphs(plot, chart, series), shown: true };
      if (series.form === "ticks")
        one.texts = series.labels.map((words, index) => text(plot, series.x[index], series.y[index] + 0.62, words,
          share(chart.x, series.x[index]) > 0.93 ? "right" : "center", -3 - 13 * level(chart, series, index)));
      drawn.push(one);
      if (series.title) {
        const key = keys.get(series.title) ?? button(legend, series);
        keys.set(series.title, key);
        key.of.push(one);
        one.key = key;
      }
    }
    for (const mark of chart.marks) {
      const line = new Bokeh.Span({ location: mark.at, dimension: mark.axis === "y" ? "width" : "height", line_dash: [5, 4],
        line_width: 1.5 });
      plot.add_layout(line);
      const words = mark.axis === "y" ? text(plot, chart.x.begin ?? 0, mark.at, " " + mark.text, "left", 3)
        : text(plot, mark.at, chart.y.end ?? 0, " " + mark.text, "left", 14);
      drawn.push({ about: mark.about, role: mark.role, renderers: [], lines: [line], texts: [words] });
    }
    plots.push(plot);
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

  function glyphs(plot, chart, series) {
    const { form } = series;
    const xy = form === "step" ? steps(series) : { x: Array.from(series.x), y: Array.from(series.y) };
    const data = { ...xy };
    for (const name of ["low", "high", "width", "base"]) if (series[name]) data[name] = Array.from(series[name]);
    if (form === "step") delete data.width;
    if (series.labels.length) data.label = series.labels;
    if (form === "bars") data.amount = data.y.map((top, index) => top - (data.base?.[index] ?? 0));
    const source = new Bokeh.ColumnDataSource({ data });
    const found = [], ref = field => ({ field });
    if (series.low && series.high)
      found.push(plot.varea({ x: ref("x"), y1: ref("low"), y2: ref("high"), source, fill_alpha: 0.18 }));
    if (form === "area") {
      found.push(plot.varea({ x: ref("x"), y1: data.base ? ref("base") : 0, y2: ref("y"), source, fill_alpha: 0.3 }));
      found.push(plot.line({ x: ref("x"), y: ref("y"), source, line_width: 1.3 }));
    } else if (form === "points") {
      found.push(plot.scatter({ x: ref("x"), y: ref("y"), source, size: 4, fill_alpha: 0.4, line_color: null }));
    } else if (form === "bars") {
      found.push(plot.vbar({ x: ref("x"), top: ref("y"), bottom: data.base ? ref("base") : 0, width: data.width ? ref("width") : 0.8,
        source, line_color: null }));
    } else if (form === "ticks") {
      data.top = data.y.map(value => value + 0.62);
      source.data = data;
      found.push(plot.segment({ x0: ref("x"), y0: ref("y"), x1: ref("x"), y1: ref("top"), source, line_width: 1.5 }));
    } else {
      found.push(plot.line({ x: ref("x"), y: ref("y"), source, line_width: series.stroke === "solid" ? 2 : 1.3,
        line_dash: dashes[series.stroke] }));
      if (form === "line" && data.x.length < (chart.time ? 2 : 60))
        found.push(plot.scatter({ x: ref("x"), y: ref("y"), source, size: 5, line_color: null }));
    }
    const about = Object.values(series.about).join(", ");
    const tips = [];
    if (series.title || about) tips.push(["", series.title || about]);
    if (series.labels.length) tips.push(["", "@label"]);
    tips.push([label(chart.x), "@x{0,0.[000]}"]);
    if (chart.y.scale !== "category") tips.push([label(chart.y), form === "bars" ? "@amount{0,0.[000]}" : "@y{0,0.[000]}"]);
    if (form !== "area" || chart.y.scale !== "category")
      plot.add_tools(new Bokeh.HoverTool({ renderers: [found[found.length - 1]], tooltips: tips, visible: false,
        mode: form === "line" || form === "step" ? "vline" : "mouse", point_policy: "snap_to_data", line_policy: "nearest" }));
    return found;
  }

  // -- legend, filters, theme -------------------------------------------------------------------------

  function button(legend, series) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = series.title;
    made.className = series.stroke;
    made.setAttribute("aria-pressed", "true");
    made.dataset.role = series.role;
    legend.append(made);
    const key = { made, on: true, of: [] };
    made.addEventListener("click", () => {
      key.on = !key.on;
      made.setAttribute("aria-pressed", String(key.on));
      refresh();
    });
    return key;
  }

  const form = document.getElementById("filters");

  function allowed() {
    const found = {};
    for (const set of form?.querySelectorAll("fieldset") ?? [])
      found[set.dataset.facet] = new Set([...set.querySelectorAll("input:checked")].map(box => box.value));
    return found;
  }

  function refresh() {
    const wanted = allowed();
    const fits = about => Object.entries(wanted).every(([facet, words]) => about[facet] == null || words.has(about[facet]));
    for (const one of drawn) {
      const visible = fits(one.about) && (one.key?.on ?? true);
      for (const part of [...one.renderers, ...(one.texts ?? []), ...(one.lines ?? [])])
        if (part.visible !== visible) part.visible = visible;
      if (one.key) one.key.made.hidden = !one.key.of.some(other => fits(other.about));
    }
    for (const sentence of document.querySelectorAll(".sentence")) sentence.hidden = !fits({ ...sentence.dataset });
    let rows = 0, all = 0;
    for (const row of document.querySelectorAll("table.sortable tbody tr")) {
      row.hidden = !fits({ ...row.dataset });
      all += 1;
      rows += !row.hidden;
    }
    const told = document.getElementById("shown");
    if (told) told.value = rows === all ? "" : `${rows} of ${all} rows shown`;
  }

  function paint() {
    const muted = variable("--muted"), line = variable("--line");
    for (const plot of plots) {
      for (const axis of [plot.xaxes[0], plot.yaxes[0]])
        axis.setv({ major_label_text_color: muted, axis_label_text_color: muted, major_tick_line_color: null });
      plot.xgrids[0].grid_line_color = line;
      plot.ygrids[0].grid_line_color = line;
    }
    for (const one of drawn) {
      const chosen = colour(one.role);
      for (const renderer of one.renderers) {
        const glyph = renderer.glyph;
        if (glyph.fill_color !== undefined) glyph.fill_color = { value: chosen };
        if (glyph.line_color !== undefined && glyph.type !== "Scatter" && glyph.type !== "VBar") glyph.line_color = { value: chosen };
      }
      for (const words of one.texts ?? []) words.text_color = one.role === "muted" ? muted : chosen;
      for (const mark of one.lines ?? []) mark.line_color = chosen;
    }
    for (const key of document.querySelectorAll(".legend button")) key.style.setProperty("--of", colour(key.dataset.role));
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

  // -- begin ----------------------------------------------------------------------------------------------

  const places = [...document.querySelectorAll(".chart")];
  for (const place of places) draw(values[place.dataset.chart], place);
  paint();
  if (plots.length) {  // one document, since charts over time share their range
    const whole = new Bokeh.Document();
    for (const plot of plots) whole.add_root(plot);
    Bokeh.embed.add_document_standalone(whole, document.body, places).then(() => document.documentElement.dataset.ready = "yes");
  } else {
    document.documentElement.dataset.ready = "yes";
  }
  dark.addEventListener("change", paint);
  form?.addEventListener("change", refresh);
})();
