// The picture of a plot: axes, dots, colours, and what is said of a dot.

const PALETTE = 8; // colours of categories in page.css: .c0 to .c7
const DENSE = 2000; // points, from which on they are drawn smaller and plainer
const MOST_NUMBERED = 60; // places with several points whose number is written beside them
const PLOT = {left: 78, right: 20, top: 16, bottom: 56}; // the margins in pixels

// ---------------------------------------------------------------------------------------------------------------------
// Colours: categories by class, many numbers by lightness between two colours

function painting(points, field) {
  if (!field) return {classOf: () => "c0", styleOf: () => null, legend: null, textOf: () => null};
  const values = new Map(points.map(({artifact}) => [artifact, field.read(artifact)]));
  const texts = [...new Set([...values.values()].map(colourText))].sort(collator.compare);
  const textIn = (artifact) => `${field.title} = ${colourText(values.get(artifact))}`;
  const numbers = [...values.values()].map(numberOf).filter((number) => Number.isFinite(number));
  if (texts.length > PALETTE && numbers.length) return {...gradient(values, numbers, field), textOf: textIn};
  const own = texts.slice(0, texts.length > PALETTE ? PALETTE - 1 : PALETTE);
  const classes = new Map(own.map((text, index) => [text, `c${index}`]));
  const entries = [...classes].map(([text, name]) => make("li", {}, make("i", {class: `dot ${name}`}), text));
  if (texts.length > own.length) {
    entries.push(make("li", {}, make("i", {class: "dot rest"}), `${texts.length - own.length} others`));
  }
  return {
    classOf: (artifact) => classes.get(colourText(values.get(artifact))) ?? "rest",
    styleOf: () => null,
    legend: legendOf(field, entries),
    textOf: textIn,
  };
}

function legendOf(field, entries) {
  const title = make("li", {}, make("b", {}, printable(field.title, 60)));
  return make("ul", {class: "legend", "aria-label": field.title}, title, entries);
}

function colourText(value) {
  if (value === undefined) return "nothing";
  return printable(Array.isArray(value) ? value.map((item) => textOf(item, true)).join(", ") : shownShort(value), 40);
}

function gradient(values, numbers, field) {
  const low = numbers.reduce((a, b) => Math.min(a, b));
  const high = numbers.reduce((a, b) => Math.max(a, b));
  const share = (artifact) => (numberOf(values.get(artifact)) - low) / (high - low || 1);
  const isOn = (artifact) => Number.isFinite(share(artifact));
  return {
    legend: legendOf(field, [make("li", {}, compact(low), make("i", {class: "ramp"}), compact(high))]),
    classOf: (artifact) => (isOn(artifact) ? "graded" : "rest"),
    styleOf: (artifact) => (isOn(artifact) ? `${Math.round(share(artifact) * 100)}%` : null),
  };
}

// ---------------------------------------------------------------------------------------------------------------------
// The picture and its controls

function plotBar(options, x, y, colour, scales) {
  const choice = (label, name, some, current, none) => {
    const select = make(
      "select",
      {"aria-label": label, id: `plot-${name}`, change: () => go({[name]: select.value})},
      none ? make("option", {value: "-"}, none) : null,
      some.map((field) => make("option", {value: field.path}, printable(field.title, 60)))
    );
    select.value = current?.path ?? "-";
    return make("label", {}, label, select);
  };
  const log = (name, scale) => {
    const attributes = {type: "checkbox", id: `plot-${name}`, disabled: scale.isCategory};
    const box = make("input", {...attributes, change: () => go({[name]: box.checked})});
    box.checked = state[name];
    return make("label", {}, box, "log");
  };
  return make(
    "div",
    {class: "bar"},
    choice("x", "x", options.x, x),
    log("logx", scales.x),
    choice("y", "y", options.y, y),
    log("logy", scales.y),
    choice("colour", "colour", options.colours, colour, "none")
  );
}

function drawPlot(points, x, y, scales, paint) {
  const {width, height} = scales;
  const dots = points.map((point, index) => drawDot(point, index, scales, paint));
  const chosen = dots.find((dot) => dot.classList.contains("selected"));
  if (chosen) dots.push(chosen); // on top of the others
  const tipped = (event) => (point) => showTooltip(event, plotTip(point, x, y, paint));
  return draw(
    "svg",
    {
      class: points.length > DENSE ? "plot dense" : "plot",
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "aria-label": `${printable(y.title, 60)} over ${printable(x.title, 60)}: ${points.length} points`,
      click: (event) => onDot(event, points, (point) => select(point.artifact)),
      mouseover: (event) => onDot(event, points, tipped(event)),
      mouseout: hideTooltip,
    },
    drawAxes(x, y, scales),
    drawSeveral(paint.several, scales),
    dots
  );
}

function drawAxes(x, y, scales) {
  const {left, right, top, bottom} = PLOT;
  const {width, height} = scales;
  const middle = (top + height - bottom) / 2;
  const tick = (path, place, text) => draw("g", {class: "tick"}, draw("path", {d: path}), draw("text", place, text));
  const title = (field, isLog, place) => {
    const text = printable(field.title, 60) + (isLog ? ", log" : "");
    return draw("text", {class: "axis-title", "text-anchor": "middle", ...place}, text);
  };
  return [
    ...scales.x.ticks.map(([value, text]) => {
      const at = scales.x.at(value);
      return tick(`M${at},${top}V${height - bottom}`, {x: at, y: height - bottom + 18, "text-anchor": "middle"}, text);
    }),
    ...scales.y.ticks.map(([value, text]) => {
      const at = scales.y.at(value);
      return tick(`M${left},${at}H${width - right}`, {x: left - 8, y: at + 4, "text-anchor": "end"}, text);
    }),
    draw("path", {class: "axis", d: `M${left},${top}V${height - bottom}H${width - right}`}),
    title(x, state.logx && !scales.x.isCategory && x.path !== "at", {x: (left + width - right) / 2, y: height - 12}),
    title(y, state.logy, {x: 16, y: middle, transform: `rotate(-90 16 ${middle})`}),
  ];
}

// Where a point is drawn. Those of one category stand a little beside each other, in the order of the artifacts.
function placeOf(point, index, scales) {
  const width = scales.x.isCategory ? Math.min(scales.x.step * 0.5, 40) : 0;
  return [scales.x.at(point.x) + (((index * 0.618) % 1) - 0.5) * width, scales.y.at(point.y)];
}

// "x y" -> the points there, as far as there are several: nobody would see that there are others below the one on top.
function placesOfSeveral(points, scales) {
  const places = new Map();
  points.forEach((point, index) => {
    const place = placeOf(point, index, scales).map(Math.round).join(" ");
    if (!places.has(place)) places.set(place, []);
    places.get(place).push(point);
  });
  return new Map([...places].filter(([, those]) => those.length > 1));
}

// A ring around them, and their number where there is room for it.
function drawSeveral(several, scales) {
  const places = [...several].map(([place, those]) => [...place.split(" ").map(Number), those.length]);
  const isNear = ([x, y], [otherX, otherY]) => Math.abs(otherX - x) < 32 && Math.abs(otherY - y) < 12;
  const hasRoom = (place) =>
    places.length <= MOST_NUMBERED && !places.some((other) => other !== place && isNear(place, other));
  return places.map((place) => {
    const [x, y, count] = place;
    const side = x > scales.width - PLOT.right - 30 ? {x: x - 9, "text-anchor": "end"} : {x: x + 9};
    const number = hasRoom(place) ? draw("text", {class: "how-many", y: y - 5, ...side}, `×${count}`) : null;
    return draw("g", {class: "several"}, draw("circle", {cx: x, cy: y, r: 7}), number);
  });
}

function drawDot(point, index, scales, paint) {
  const isSelected = point.artifact.id === state.selected;
  const [x, y] = placeOf(point, index, scales);
  const dot = draw("circle", {
    class: `dot ${paint.classOf(point.artifact)}${isSelected ? " selected" : ""}`,
    cx: x.toFixed(1),
    cy: y.toFixed(1),
    r: isSelected ? 7 : paint.radius,
    "data-point": index,
  });
  const share = paint.styleOf(point.artifact);
  if (share) dot.style.setProperty("--share", share);
  return dot;
}

function onDot(event, points, action) {
  const index = event.target.getAttribute?.("data-point");
  if (index !== null && index !== undefined) action(points[Number(index)]);
}

function plotTip(point, x, y, paint) {
  const {artifact} = point;
  const those = [...paint.several.values()].find((some) => some.includes(point));
  const values = [x, y].map((field) => {
    const value = field.read(artifact);
    return `${field.title} = ${field.path === "at" ? shortTime(value) : printable(textOf(value, true), 60)}`;
  });
  const several = those ? `${those.length} points on one place` : null;
  return [`${artifact.name} ${artifact.short}`, ...values, paint.textOf(artifact), several].filter(Boolean);
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
