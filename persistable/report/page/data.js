// What the report holds: artifacts, their params, metrics and upstreams, and the fields by which one can ask for them.

const data = JSON.parse(byId("data").textContent);

class Artifact {
  constructor(values) {
    this.values = values; // field -> value: payload_name, key, state, at, …
    this.params = new Map();
    this.metrics = new Map();
    this.upstreams = new Map(); // role -> Artifact
    this.remade = new Map(); // role -> true, where the upstream was made again with other content since
    this.through = new Map(); // role -> true, where the upstream is outdated
    this.dependents = new Set();
    this.haystack = null; // what plain words are searched in; made when it is first needed
  }

  get(field) {
    return this.values.get(field);
  }
  get name() {
    return this.values.get("payload_name") ?? this.id;
  }
  get key() {
    return this.values.get("key") || "";
  }
  get state() {
    return this.values.get("state");
  }
  get id() {
    return this.values.get("path");
  }
  get outdated() {
    return this.remade.size > 0 || this.through.size > 0;
  }
  get short() {
    return this.key ? this.key.slice(0, 8) : this.id;
  }
}

// A column holds different values once: `at` says for each row which one (-1: none), `rows` which rows it is about.
function* cells(column) {
  const count = column.at ? column.at.length : column.values.length;
  for (let position = 0; position < count; position++) {
    const at = column.at ? column.at[position] : position;
    if (at >= 0) yield [column.rows ? column.rows[position] : position, column.values[at]];
  }
}

function missingUpstream([name, key]) {
  return new Artifact(
    new Map([
      ["payload_name", name],
      ["key", key],
      ["state", "missing"],
      ["path", `${name}/${key}`],
      ["problem", "it is not in this store; it may lie elsewhere"],
    ])
  );
}

function readArtifacts() {
  const artifacts = Array.from({length: data.about.count}, () => new Artifact(new Map()));
  for (const column of data.fields)
    for (const [row, value] of cells(column)) artifacts[row].values.set(column.name, value);
  for (const section of ["params", "metrics", "remade", "through"]) {
    for (const column of data[section]) {
      for (const [row, value] of cells(column)) artifacts[row][section].set(column.name, value);
    }
  }
  const missing = new Map();
  for (const column of data.upstreams) {
    for (const [row, value] of cells(column)) {
      const id = Array.isArray(value) ? `${value[0]}/${value[1]}` : null;
      if (id !== null && !missing.has(id)) missing.set(id, missingUpstream(value));
      const upstream = id === null ? artifacts[value] : missing.get(id);
      artifacts[row].upstreams.set(column.name, upstream);
      upstream.dependents.add(artifacts[row]);
    }
  }
  return [artifacts, [...missing.values()]];
}

const [artifacts, notHere] = readArtifacts();
const listed = artifacts.slice(0, data.about.listed); // the others are only upstream of these
const byPath = new Map([...notHere, ...artifacts].map((artifact) => [artifact.id, artifact]));

// ---------------------------------------------------------------------------------------------------------------------
// Values: JSON, with {"$float": "nan"} for what it has no words for

function numberOf(value) {
  if (typeof value === "number") return value;
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const [[mark, inner] = [], ...others] = Object.entries(value);
  if (others.length || mark === undefined || !mark.startsWith("$")) return null;
  if (mark !== "$float" && mark !== "$int") return typeof inner === "string" ? null : numberOf(inner); // $float32
  return inner === "inf" ? Infinity : inner === "-inf" ? -Infinity : Number(inner);
}

function compact(number) {
  if (!Number.isFinite(number)) return number > 0 ? "inf" : "-inf";
  if (Number.isInteger(number) && Math.abs(number) < 1e15) return String(number);
  return floatText(Number(number.toPrecision(5)));
}

// A float as Python writes it: 1.0, 0.001, 1e-05
function floatText(number) {
  const size = Math.abs(number);
  if (Number.isInteger(number) && size < 1e16) return `${number}.0`;
  if (size >= 1e-4 && size < 1e16) return String(number);
  return number.toExponential().replace(/e([-+])(\d)$/, "e$10$2");
}

// A value as Python would write it, and _text.shown does; "plain" is a text without quotes. A number without a point is
// an integer: data.py has marked the floats that JavaScript would take for such.
function textOf(value, plain = false) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return plain ? value : quoted(value);
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : floatText(value);
  if (Array.isArray(value)) return `[${textsOf(value)}]`;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0][0].startsWith("$"))
    return markedText(entries[0][0].slice(1), entries[0][1], plain);
  return `{${entries.map(([name, item]) => `${quoted(name)}: ${textOf(item)}`).join(", ")}}`;
}

function textsOf(values) {
  return values.map((item) => textOf(item)).join(", ");
}

function quoted(text) {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escapes = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", [quote]: `\\${quote}`};
  return quote + text.replace(/[\n\r\t\\"']/g, (letter) => escapes[letter] ?? letter) + quote;
}

const PLAIN_MARKS = new Set(["float", "int", "record", "cut"]); // what stands in these is its text

function markedText(mark, value, plain) {
  if (typeof value === "string" && (plain || PLAIN_MARKS.has(mark))) return value;
  if (mark === "tuple" && Array.isArray(value)) return `(${textsOf(value)}${value.length === 1 ? "," : ""})`;
  if (mark === "set" && Array.isArray(value)) return value.length ? `{${textsOf(value)}}` : "set()";
  if (Array.isArray(value)) return `${mark}(${textsOf(value)})`;
  const fields = value !== null && typeof value === "object" && !isMarked(value);
  if (!fields) return `${mark}(${textOf(value)})`;
  return `${mark}(${Object.entries(value)
    .map(([name, item]) => `${name}=${textOf(item)}`)
    .join(", ")})`;
}

function isMarked(value) {
  const names = Object.keys(value);
  return names.length === 1 && names[0].startsWith("$");
}

// For a cell: floats are rounded, and texts have no quotes, unless they would be taken for something else.
function shownShort(value, plain = true) {
  const number = numberOf(value);
  if (number === null || !Number.isFinite(number)) return textOf(value, plain && !isLikeAnother(value));
  if (Number.isInteger(number)) return textOf(value, true);
  const digits = Math.max(5, Math.floor(Math.log10(Math.abs(number))) + 2);
  return floatText(Number(number.toPrecision(Math.min(digits, 17))));
}

function isLikeAnother(value) {
  return (
    typeof value === "string" &&
    (/^(None|True|False|nan|-?inf|[[({'"].*|)$/s.test(value) || !Number.isNaN(Number(value)))
  );
}

const collator = new Intl.Collator("en", {numeric: true});

// Numbers before texts, what is missing at the end: [0, number] < [1, text] < [2]
function sortKey(value) {
  if (value === undefined || value === null || value === "") return [2, 0];
  const number = numberOf(value);
  return number === null || Number.isNaN(number) ? [1, textOf(value, true).slice(0, 200)] : [0, number];
}

function sorted(items, field, descending) {
  const sign = descending ? -1 : 1;
  const keyed = items.map((item) => [sortKey(field.read(item)), item]);
  keyed.sort(([[rank, one]], [[otherRank, other]]) => {
    if (rank !== otherRank) return rank === 2 || otherRank === 2 ? rank - otherRank : sign * (rank - otherRank);
    return sign * (rank === 1 ? collator.compare(one, other) : one - other);
  });
  return keyed.map(([, item]) => item);
}

// ---------------------------------------------------------------------------------------------------------------------
// Fields: params.n, metrics.rmse, dependencies.data.params.n, size, …

const PLAIN_FIELDS = new Map([
  ["payload_name", "name"],
  ["key", "key"],
  ["state", "state"],
  ["problem", "problem"],
  ["at", "made (UTC)"],
  ["seconds", "seconds"],
  ["size", "size"],
  ["user", "by"],
  ["host", "on"],
  ["version", "version"],
  ["class_name", "class"],
  ["format", "format"],
  ["type", "type"],
  ["summary", "payload"],
  ["tags", "tags"],
  ["outdated", "outdated"],
  ["path", "path"],
]);
const OTHER_WORDS = new Map([
  ["name", "payload_name"],
  ["class", "class_name"],
  ["by", "user"],
  ["on", "host"],
]);
const STEP = /\.?((?:[^.[\]\s"=<>!]+)|\["(?:[^"\\]|\\.)*"\])/uy;

function joined(path, step) {
  return step.startsWith("[") ? path + step : `${path}.${step}`;
}

// One step of a path, in the same way as report/data.py writes it.
function stepOf(name) {
  return /^[\p{L}\p{N}_-]+$/u.test(name) ? name : `[${JSON.stringify(name)}]`;
}

function stepsOf(path) {
  const steps = [];
  STEP.lastIndex = 0;
  while (STEP.lastIndex < path.length) {
    const match = STEP.exec(path);
    if (!match) return null;
    steps.push(match[1]);
  }
  return steps;
}

const fields = new Map();

// The field of a path, or null if the path makes no sense. What an artifact does not have reads as undefined.
function fieldOf(path) {
  if (!fields.has(path)) fields.set(path, readField(path));
  return fields.get(path);
}

function readField(path) {
  const plain = OTHER_WORDS.get(path) ?? path;
  if (PLAIN_FIELDS.has(plain)) {
    const read = plain === "outdated" ? outdatedBy : (artifact) => artifact.get(plain);
    return {path: plain, title: PLAIN_FIELDS.get(plain), section: "plain", read};
  }
  const steps = stepsOf(path);
  if (!steps) return null;
  const roles = [];
  while (steps[0] === "dependencies" && steps.length > 2) roles.push(...steps.splice(0, 2).slice(1));
  const [section, ...rest] = steps;
  if (!(section === "params" || section === "metrics") || !rest.length) return null;
  const name = rest.reduce((whole, step) => (whole ? joined(whole, step) : step), "");
  const read = (artifact) => upstreamBy(artifact, roles)?.[section].get(name);
  return {path, title: [...roles, name].join(" › "), section: roles.length ? "upstream" : section, read};
}

function outdatedBy(artifact) {
  return artifact.outdated
    ? [...new Set([...artifact.remade.keys(), ...artifact.through.keys()])].join(", ")
    : undefined;
}

function upstreamBy(artifact, roles) {
  for (const role of roles) artifact = artifact?.upstreams.get(role.startsWith("[") ? JSON.parse(role)[0] : role);
  return artifact;
}

// All params and metrics of these artifacts, and of what they are made from, as far as three steps up: an evaluation
// has the metrics, and the params are those of its model. What is reached on several ways goes by the shortest.
function fieldsOf(some) {
  const found = new Map();
  for (const section of ["params", "metrics"]) {
    for (const name of namesIn(some, section)) found.set(joined(section, name), null);
  }
  const reached = new Set(some);
  let level = new Map([["", some]]);
  for (let depth = 0; depth < 3 && found.size < 400; depth++) {
    level = upstreamLevel(level, reached);
    for (const [path, those] of level) {
      for (const section of ["params", "metrics"]) {
        for (const name of namesIn(those, section)) found.set(joined(`${path.slice(1)}.${section}`, name), null);
      }
    }
  }
  return [...found.keys()].slice(0, 400).map(fieldOf).filter(Boolean);
}

function upstreamLevel(level, reached) {
  const next = new Map();
  for (const [path, some] of level) {
    for (const artifact of some) {
      for (const [role, upstream] of artifact.upstreams) {
        if (reached.has(upstream)) continue;
        const longer = joined(`${path}.dependencies`, stepOf(role));
        if (!next.has(longer)) next.set(longer, new Set());
        next.get(longer).add(upstream);
      }
    }
  }
  for (const some of next.values()) for (const artifact of some) reached.add(artifact);
  return next;
}

function namesIn(some, section) {
  const names = new Set();
  for (const artifact of some) for (const name of artifact[section].keys()) names.add(name);
  return names;
}

// Whether the artifacts differ in it: what is the same in all of them needs no column.
function varies(field, some) {
  let first;
  let begun = false;
  for (const artifact of some) {
    const text = JSON.stringify(field.read(artifact));
    if (begun && text !== first) return true;
    [first, begun] = [text, true];
  }
  return false;
}

function isNumeric(field, some) {
  let numbers = 0;
  let others = 0;
  for (const artifact of some) {
    const value = field.read(artifact);
    if (value === undefined || value === null) continue;
    if (numberOf(value) === null) others++;
    else numbers++;
  }
  return numbers > 0 && others === 0;
}
