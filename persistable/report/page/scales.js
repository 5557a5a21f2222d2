// Scales of a plot: from values to pixels, with ticks.

const DAY = 864e5; // milliseconds

function scaleOf(values, field, isLog, start, end) {
  if (values.some((value) => typeof value === "string")) return categoryScale(values, start, end);
  let [low, high] = values.length
    ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))]
    : [0, 1];
  if (isLog) return logScale(Math.log10(low), Math.log10(high), start, end);
  if (low === high) [low, high] = [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  const edge = (high - low) * 0.04;
  [low, high] = [low - edge, high + edge];
  const at = (value) => start + ((value - low) / (high - low)) * (end - start);
  const ticks = field.path === "at" ? timeTicks(low, high) : linearTicks(low, high);
  return {at, ticks, isCategory: false};
}

function categoryScale(values, start, end) {
  const names = [...new Set(values)].sort(collator.compare);
  const step = (end - start) / names.length;
  const places = new Map(names.map((name, index) => [name, start + (index + 0.5) * step]));
  const every = Math.ceil((names.length * 110) / Math.abs(end - start));
  return {
    at: (name) => places.get(name),
    ticks: names.filter((_, index) => index % every === 0).map((name) => [name, printable(name, 14)]),
    isCategory: true,
    step: Math.abs(step),
  };
}

function logScale(low, high, start, end) {
  if (high - low < 0.2) [low, high] = [low - 0.1, high + 0.1];
  const edge = (high - low) * 0.04;
  [low, high] = [low - edge, high + edge];
  const at = (value) => start + ((Math.log10(value) - low) / (high - low)) * (end - start);
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
  const days = [1, 2, 7, 30, 91, 365].map((count) => count * DAY);
  const units = [1e3, 5e3, 15e3, 6e4, 3e5, 9e5, 36e5, 108e5, 216e5, ...days];
  const step = units.find((size) => size >= (high - low) / 6) ?? 365 * DAY * Math.ceil((high - low) / 6 / (365 * DAY));
  const ticks = [];
  for (let time = Math.ceil(low / step) * step; time <= high; time += step) {
    const text = new Date(time).toISOString();
    ticks.push([
      time,
      step >= DAY ? text.slice(0, 10) : step >= 6e4 ? text.slice(5, 16).replace("T", " ") : text.slice(11, 19),
    ]);
  }
  return ticks;
}
