// Metrics over params: a scatter plot of the artifacts that are found.

const MOST_CATEGORIES = 30; // texts that are an axis unless another is chosen

function renderPlot(view) {
  const options = plotFields();
  if (!options.y.length) {
    const text = "No numbers to plot: choose a payload name whose artifacts have metrics.";
    view.replaceChildren(make("p", {class: "empty"}, text));
    return;
  }
  const chosen = (path, usual) => options.all.find((field) => field.path === path) ?? usual();
  const y = chosen(state.y, () => usualY(options.y));
  const x = chosen(state.x, () => usualX(options.x, y));
  const colour = chosen(state.colour, () => null);
  const {points, left} = plotPoints(x, y);
  const scales = plotScales(view, points, x, y);
  const several = placesOfSeveral(points, scales);
  const paint = {...painting(points, colour), several, radius: points.length > DENSE ? 2.5 : 4.5};
  view.replaceChildren(
    make(
      "div",
      {class: "stage"},
      plotBar(options, x, y, colour, scales),
      paint.legend,
      make("p", {class: "pale note", id: "left-out"}, plotNote(points, left, several)),
      make("div", {class: "scroll"}, drawPlot(points, x, y, scales, paint))
    )
  );
}

function plotScales(view, points, x, y) {
  const width = Math.max(view.clientWidth - 40, 420);
  const height = Math.max(Math.min(view.clientHeight - 150, width * 0.62), 300);
  return {
    width,
    height,
    x: scaleOf(
      points.map((point) => point.x),
      x,
      state.logx,
      PLOT.left,
      width - PLOT.right
    ),
    y: scaleOf(
      points.map((point) => point.y),
      y,
      state.logy,
      height - PLOT.bottom,
      PLOT.top
    ),
  };
}

function plotNote(points, left, several) {
  const most = [...several.values()].reduce((count, those) => Math.max(count, those.length), 0);
  const texts = [`${amount(points.length, "artifact")} shown${most ? `, up to ${most} on one place` : ""}`];
  return `${[...texts, ...left].join("; ")}.`;
}

// ---------------------------------------------------------------------------------------------------------------------
// What is drawn first, and what there is to choose from

const GOAL = /^(?:rmse|mae|mape|smape|mase|mse|loss|nll|score|accuracy|auc|f1|r2|value|error)$/i;
const NEAR_GOAL = /rmse|mae|mape|mase|mse|loss|nll|score|accuracy|auc|f1|r2|value|error/i;

// A metric that somebody would want to be good: rather an error or a score than a count, and rather its own.
function usualY(some) {
  const shown = found();
  const rank = (field) => {
    const name = field.path.split(/[.[]/).at(-1);
    const isMetric = field.path.includes("metrics.");
    const byName = GOAL.test(name) ? 0 : NEAR_GOAL.test(name) ? 1 : 2;
    return [isMetric ? 0 : 1, isCount(field, shown) ? 1 : 0, field.section === "upstream" ? 1 : 0, byName];
  };
  return firstBy(some, rank);
}

// A param that differs among the points, numbers before texts, own before those of upstreams; else the time.
function usualX(some, y) {
  const shown = found().filter((artifact) => axisValue(y, artifact, null) !== null);
  const params = some
    .filter((field) => field.path.includes("params."))
    .filter((field) => {
      const values = numberOfValues(field, shown);
      return values > 1 && (isNumeric(field, shown) || values <= MOST_CATEGORIES);
    });
  const rank = (field) => {
    const isNumber = isNumeric(field, shown);
    return [isNumber ? 0 : 1, field.section === "upstream" ? 1 : 0, isNumber ? -numberOfValues(field, shown) : 0];
  };
  return firstBy(params, rank) ?? fieldOf("at");
}

// The first of those whose rank, a list of numbers, is the smallest
function firstBy(some, rank) {
  const order = (one, other) => {
    const at = one.findIndex((number, index) => number !== other[index]);
    return at < 0 ? 0 : one[at] - other[at];
  };
  const ranked = some.map((field) => [rank(field), field]);
  return ranked.reduce((best, entry) => (best === null || order(entry[0], best[0]) < 0 ? entry : best), null)?.[1];
}

function numberOfValues(field, some) {
  const texts = new Set(some.map((artifact) => JSON.stringify(field.read(artifact))));
  texts.delete(undefined);
  return texts.size;
}

// Whether all of its values are integers; a float that is one has its mark.
function isCount(field, some) {
  return some.every((artifact) => Number.isInteger(field.read(artifact) ?? 0));
}

// Numbers first: they make axes. Params in which the artifacts differ come before all others.
function plotFields() {
  const some = found();
  const own = fieldsOfNow().filter((field) => varies(field, some));
  const numbers = new Set(own.filter((field) => isNumeric(field, some)));
  const isUpstreamMetric = (field) => field.section === "upstream" && field.path.includes(".metrics.");
  const metrics = own.filter((field) => field.section === "metrics" && numbers.has(field));
  const upstreamMetrics = own.filter((field) => isUpstreamMetric(field) && numbers.has(field));
  const params = own.filter((field) => field.path.includes("params."));
  const ordered = [...params.filter((field) => numbers.has(field)), ...params.filter((field) => !numbers.has(field))];
  const plain = ["at", "seconds", "size"].map(fieldOf);
  const others = ["payload_name", "user", "host", "version", "tags", "state"]
    .map(fieldOf)
    .filter((field) => varies(field, some));
  return {
    x: [...ordered, ...plain, ...metrics, ...upstreamMetrics, ...others],
    y: [...metrics, ...upstreamMetrics, ...plain.slice(1).filter((field) => isNumeric(field, some))],
    colours: [...ordered, ...others, ...metrics, ...plain],
    all: [...ordered, ...metrics, ...upstreamMetrics, ...plain, ...others],
  };
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
  if (value === undefined || (value === null && !isCategory)) return null;
  if (isCategory) return printable(shownShort(value), 30);
  const number = field.path === "at" ? Date.parse(value) : numberOf(value);
  return Number.isFinite(number) ? number : null;
}
