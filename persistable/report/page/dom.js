// Elements, and texts that are harmless. All that comes from the store goes through make() or draw(), as text.

const byId = (id) => document.getElementById(id);

// What moves the cursor, or turns the direction of writing around, is shown instead of obeyed.
const UNPRINTABLE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/gu;

function printable(text, longest = Infinity) {
  const shown = String(text).replace(UNPRINTABLE, (letter) => {
    const code = letter.codePointAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return shown.length <= longest ? shown : `${shown.slice(0, longest - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : printable(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined) continue;
    element.append(child instanceof Node ? child : printable(child));
  }
  return element;
}

// make("button", {class: "chip", click: clicked}, "text"): functions become listeners, all else attributes.
function make(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// A name that may be broken behind its underscores and dots
function breakable(name) {
  return printable(name, 200)
    .split(/(?<=[_.])/)
    .flatMap((part, index) => (index ? [make("wbr"), part] : [part]));
}

function amount(number, noun, plural = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (number >= 999.95 && unit < units.length - 1) [number, unit] = [number / 1000, unit + 1];
  return `${unit === 0 || number >= 99.95 ? number.toFixed(0) : number.toFixed(1)} ${units[unit]}`;
}

function duration(seconds) {
  for (const [limit, unit, name] of [
    [1, 1e-3, "ms"],
    [120, 1, "s"],
    [7200, 60, "min"],
    [172800, 3600, "h"],
  ]) {
    if (seconds < limit) return `${Number((seconds / unit).toPrecision(3))} ${name}`;
  }
  return `${Math.round(seconds / 86400)} days`;
}

// "2026-11-21T16:04:45+00:00" as 2026-11-21 16:04
function shortTime(at) {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(at) ? at.slice(0, 16).replace("T", " ") : String(at);
}
