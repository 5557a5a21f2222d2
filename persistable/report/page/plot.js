// Metrics over params: a scatter plot of the artifacts that are found.

const PALETTE = 8; // colours of categories in page.css: .c0 to .c7
const PLOT = {left: 78, right: 20, top: 16, bottom: 56}; // the margins in pixels

function renderPlot(view) {
  const options = plotFields();
  if (!options.y.length) {
    view.replaceChildren(make("p", {class: "empty"}, "No numbers to plot: choose a payload name whose artifacts have metrics."));
    return;
  }
  const chosen = (path, fallback) => options.all.find((field) => field.path === path) ?? fallback;
  const y = chosen(state.y, mostValues(options.y, found()));
  const x = chosen(state.x, mostValues(options.x.filter((field) => field !== y), found().filter((artifact) => y.read(artifact) !== undefined)) ?? y);
  const colour = chosen(state.colour, null);
  const {points, left} = plotPoints(x, y);
  const width = Math.max(view.clientWidth - 40, 420);
  const height = Math.max(Math.min(view.clientHeight - 150, width * 0.62), 300);
  const scales = {
    width, height,
    x: scaleOf(points.map((point) => point.x), x, state.logx, PLOT.left, width - PLOT.right),
    y: scaleOf(points.map((point) => point.y), y, state.logy, height - PLOT.bottom, PLOT.top),
  };
  const paint = {...painting(points, colour), radius: points.length > 2000 ? 2.5 : 4.5};
  view.replaceChildren(make("div", {class: "stage"}, plotBar(options, x, y, colour, scales),
    paint.legend, make("p", {class: "pale note", id: "left-out"}, `${amount(points.length, "artifact")} shown${left.length ? `; ${left.join("; ")}` : ""}.`),
    make("div", {class: "scroll"}, drawPlot(points, x, y, scales, paint))));
}

// What is drawn first: of the first fields of a kind, that of which the artifacts have the most different values.
function mostValues(some, artifactsOfPlot) {
  const kind = some[0]?.section;
  const counts = some.slice(0, 10).filter((field) => field.section === kind).map((field) => [new Set(artifactsOfPlot.map((artifact) => numberOf(field.read(artifact)))).size, field]);
  return counts.reduce((best, entry) => (entry[0] > best[0] ? entry : best), [0, some[0]])[1];
}

// Numbers first: they make axes. Params in which the artifacts differ come before all others.
function plotFields() {
  const some = found();
  const own = fieldsOfNow().filter((field) => varies(field, some));
  const numbers = new Set(own.filter((field) => isNumeric(field, some)));
  const metrics = own.filter((field) => field.path.startsWith("metrics.") && numbers.has(field));
  const upstreamMetrics = own.filter((field) => field.section === "upstream" && field.path.includes(".metrics.") && numbers.has(field));
  const params = own.filter((field) => field.path.includes("params."));
  const plain = ["at", "seconds", "size"].map(fieldOf);
  const others = ["payload_name", "user", "host", "version", "tags", "state"].map(fieldOf).filter((field) => varies(field, some));
  const ordered = [...params.filter((field) => numbers.has(field)), ...params.filter((field) => !numbers.has(field))];
  return {x: [...ordered, ...plain, ...metrics, ...upstreamMetrics, ...others], y: [...metrics, ...upstreamMetrics, ...plain.slice(1)], all: [...ordered, ...metrics, ...upstreamMetrics, ...plain, ...others],
    colours: [...ordered, ...others, ...metrics, ...plain]};
}

function plotPoints(x, y) {
  const points = [];
  const missing = new Map();
  const leave = (why) => missing.set(why, (missing.get(why) ?? 0) + 1);
  const categories = isNumeric(x, found()) || x.path === "at" ? null : true;
  for (const artifact of found()) {
    const [xValue, yValue] = [axisValue(x, artifact, categories), axisValue(y, artifact, null)];
    if (yValue === null) leave(`no ${y.title}`);
    else if (xValue === null) leave(`no ${x.title}`);
    else if (state.logy && yValue <= 0) leave(`${y.title} is not positive`);
    else if (state.logx && typeof xValue === "number" && xValue <= 0) leave(`${x.title} is not positive`);
    else points.push({artifact, x: xValue, y: yValue});
  }
  return {points, left: [...missing].map(([why, count]) => `${count} left out: ${printable(why, 80)}`)};
}

function axisValue(field, artifact, isCategory) {
  const value = field.read(artifact);
  if (value === undefined || value === null && !isCategory) return null;
  if (isCategory) return printable(shownShort(value), 30);
  const number = field.path === "at" ? Date.parse(value) : numberOf(value);
  return Number.isFinite(number) ? number : null;
}

// ----------------------------------------------------------------------------------------------------------------------
// Scales: from values to pixels, with ticks

function scaleOf(values, field, isLog, start, end) {
  if (values.some((value) => typeof value === "string")) return categoryScale(values, start, end);
  let [low, high] = values.length ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))] : [0, 1];
  if (isLog) return logScale(Math.log10(low), Math.log10(high), start, end);
  if (low === high) [low, high] = [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  const edge = (high - low) * 0.04;
  [low, high] = [low - edge, high + edge];
  const at = (value) => start + (value - low) / (high - low) * (end - start);
  const ticks = field.path === "at" ? timeTicks(low, high) : linearTicks(low, high);
  return {at, ticks, isCategory: false};
}

function categoryScale(values, start, end) {
  const names = [...new Set(values)].sort(collator.compare);
  const step = (end - start) / names.length;
  const places = new Map(names.map((name, index) => [name, start + (index + 0.5) * step]));
  const every = Math.ceil(names.length * 110 / Math.abs(end - start));
  return {at: (name) => places.get(name), ticks: names.filter((_, index) => index % every === 0).map((name) => [name, printable(name, 14)]), isCategory: true, step: Math.abs(step)};
}

function logScale(low, high, start, end) {
  if (high - low < 0.2) [low, high] = [low - 0.1, high + 0.1];
  const edge = (high - low) * 0.04;
  [low, high] = [low - edge, high + edge];
  const at = (value) => start + (Math.log10(value) - low) / (high - low) * (end - start);
  const every = Math.max(1, Math.ceil((high - low) / 8));
  const digits = high - low > 2.2 ? [1] : high - low > 1 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += every) {
    for (const digit of digits) {
      const value = Number(`${digit}e${power}`);
      if (Math.log10(value) >= low && Math.log10(value) <= high) ticks.push([value, compact(value)]);
    }
  }
  return {at, ticks: ticks.length > 1 ? ticks : linearTicks(10 ** low, 10 ** high), isCategory: false};
}

function linearTicks(low, high) {
  const raw = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const ticks = [];
  for (let count = Math.ceil(low / step); count * step <= high && ticks.length < 20; count++) {
    const value = Number((count * step).toPrecision(10));
    ticks.push([value, compact(value)]);
  }
  return ticks;
}

function timeTicks(low, high) {
  const units = [1e3, 5e3, 15e3, 6e4, 3e5, 9e5, 36e5, 108e5, 216e5, 864e5, 2 * 864e5, 7 * 864e5, 30 * 864e5, 91 * 864e5, 365 * 864e5];
  const step = units.find((size) => size >= (high - low) / 6) ?? 365 * 864e5 * Math.ceil((high - low) / 6 / (365 * 864e5));
  const ticks = [];
  for (let time = Math.ceil(low / step) * step; time <= high; time += step) {
    const text = new Date(time).toISOString();
    ticks.push([time, step >= 864e5 ? text.slice(0, 10) : step >= 6e4 ? text.slice(5, 16).replace("T", " ") : text.slice(11, 19)]);
  }
  return ticks;
}

// ----------------------------------------------------------------------------------------------------------------------
// Colours: categories by class, many numbers by lightness between two colours

function painting(points, field) {
  const plain = {classOf: () => "c0", styleOf: () => null, legend: null, textOf: () => null};
  if (!field) return plain;
  const values = new Map(points.map(({artifact}) => [artifact, field.read(artifact)]));
  const texts = [...new Set([...values.values()].map(colourText))].sort(collator.compare);
  const textIn = (artifact) => `${field.title} = ${colourText(values.get(artifact))}`;
  const numbers = [...values.values()].map(numberOf).filter((number) => Number.isFinite(number));
  if (texts.length > PALETTE && numbers.length) return {...gradient(values, numbers, field), textOf: textIn};
  const classes = new Map(texts.map((text, index) => [text, index < PALETTE - 1 || texts.length === PALETTE ? `c${index}` : "rest"]));
  const entries = [...classes].filter(([, name]) => name !== "rest").map(([text, name]) => make("li", {}, make("i", {class: `dot ${name}`}), text));
  if (texts.length > PALETTE) entries.push(make("li", {}, make("i", {class: "dot rest"}), `${texts.length - PALETTE + 1} others`));
  return {classOf: (artifact) => classes.get(colourText(values.get(artifact))), styleOf: () => null, legend: make("ul", {class: "legend", "aria-label": field.title}, make("li", {}, make("b", {}, printable(field.title, 60))), entries), textOf: textIn};
}

function colourText(value) {
  return value === undefined ? "nothing" : printable(Array.isArray(value) ? value.map((item) => textOf(item, true)).join(", ") : shownShort(value), 40);
}

function gradient(values, numbers, field) {
  const [low, high] = [numbers.reduce((a, b) => Math.min(a, b)), numbers.reduce((a, b) => Math.max(a, b))];
  const share = (artifact) => (numberOf(values.get(artifact)) - low) / (high - low || 1);
  const legend = make("ul", {class: "legend", "aria-label": field.title}, make("li", {}, make("b", {}, printable(field.title, 60))), make("li", {}, compact(low), make("i", {class: "ramp"}), compact(high)));
  return {legend, classOf: (artifact) => (Number.isFinite(share(artifact)) ? "graded" : "rest"), styleOf: (artifact) => (Number.isFinite(share(artifact)) ? `${Math.round(share(artifact) * 100)}%` : null)};
}

// ----------------------------------------------------------------------------------------------------------------------
// The picture and its controls

function plotBar(options, x, y, colour, scales) {
  const choice = (label, name, some, current, none) => {
    const select = make("select", {"aria-label": label, id: `plot-${name}`, change: () => go({[name]: select.value})},
      none ? make("option", {value: "-"}, none) : null, some.map((field) => make("option", {value: field.path}, printable(field.title, 60))));
    select.value = current?.path ?? "-";
    return make("label", {}, label, select);
  };
  const log = (name, label, scale) => {
    const box = make("input", {type: "checkbox", id: `plot-${name}`, disabled: scale.isCategory, change: () => go({[name]: box.checked})});
    box.checked = state[name];
    return make("label", {}, box, label);
  };
  return make("div", {class: "bar"}, choice("x", "x", options.x, x), log("logx", "log", scales.x), choice("y", "y", options.y, y), log("logy", "log", scales.y), choice("colour", "colour", options.colours, colour, "none"));
}

function drawPlot(points, x, y, scales, paint) {
  const {left, right, top, bottom} = PLOT;
  const {width, height} = scales;
  const lines = [
    ...scales.x.ticks.map(([value, text]) => draw("g", {class: "tick"}, draw("path", {d: `M${scales.x.at(value)},${top}V${height - bottom}`}), draw("text", {x: scales.x.at(value), y: height - bottom + 18, "text-anchor": "middle"}, text))),
    ...scales.y.ticks.map(([value, text]) => draw("g", {class: "tick"}, draw("path", {d: `M${left},${scales.y.at(value)}H${width - right}`}), draw("text", {x: left - 8, y: scales.y.at(value) + 4, "text-anchor": "end"}, text))),
    draw("path", {class: "axis", d: `M${left},${top}V${height - bottom}H${width - right}`}),
    draw("text", {class: "axis-title", x: (left + width - right) / 2, y: height - 12, "text-anchor": "middle"}, printable(x.title, 60) + (x.path === "at" ? "" : state.logx && !scales.x.isCategory ? ", log" : "")),
    draw("text", {class: "axis-title", x: 16, y: (top + height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 16 ${(top + height - bottom) / 2})`}, printable(y.title, 60) + (state.logy ? ", log" : "")),
  ];
  const dots = points.map((point, index) => drawDot(point, index, scales, paint));
  const chosen = dots.find((dot) => dot.classList.contains("selected"));
  if (chosen) dots.push(chosen); // on top of the others
  return draw("svg", {
    class: points.length > 2000 ? "plot dense" : "plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${printable(y.title, 60)} over ${printable(x.title, 60)}: ${points.length} points`,
    click: (event) => onDot(event, points, (point) => select(point.artifact)),
    mouseover: (event) => onDot(event, points, (point) => showTooltip(event, plotTip(point, x, y, paint))), mouseout: hideTooltip,
  }, lines, dots);
}

// Points of one category stand a little beside each other, in the order of the artifacts.
function drawDot(point, index, scales, paint) {
  const aside = scales.x.isCategory ? ((index * 0.618) % 1 - 0.5) * Math.min(scales.x.step * 0.5, 40) : 0;
  const dot = draw("circle", {class: `dot ${paint.classOf(point.artifact)}${point.artifact.id === state.selected ? " selected" : ""}`, cx: (scales.x.at(point.x) + aside).toFixed(1), cy: scales.y.at(point.y).toFixed(1), r: point.artifact.id === state.selected ? 7 : paint.radius, "data-point": index});
  const share = paint.styleOf(point.artifact);
  if (share) dot.style.setProperty("--share", share);
  return dot;
}

function onDot(event, points, action) {
  const index = event.target.getAttribute?.("data-point");
  if (index !== null && index !== undefined) action(points[Number(index)]);
}

function plotTip({artifact}, x, y, paint) {
  return [`${artifact.name} ${artifact.short}`, ...[x, y].map((field) => `${field.title} = ${field.path === "at" ? shortTime(field.read(artifact)) : printable(textOf(field.read(artifact), true), 60)}`), paint.textOf(artifact)].filter(Boolean);
}

function showTooltip(event, lines) {
  const tooltip = byId("tooltip");
  tooltip.replaceChildren(...lines.map((line, index) => make(index ? "div" : "b", {}, printable(line, 120))));
  tooltip.hidden = false;
  tooltip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tooltip.offsetWidth - 8))}px`;
  tooltip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tooltip.offsetHeight - 8))}px`;
}

function hideTooltip() {
  byId("tooltip").hidden = true;
}
