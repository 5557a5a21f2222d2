// What the tests of a query do: words that are contained, values that are compared, names that are known.

const COMPARISONS = new Map([
  ["=", (order) => order === 0],
  ["==", (order) => order === 0],
  ["!=", (order) => order !== 0],
  ["<", (order) => order < 0],
  ["<=", (order) => order <= 0],
  [">", (order) => order > 0],
  [">=", (order) => order >= 0],
]);

function containing(word) {
  return (artifact) => haystackOf(artifact).includes(word);
}

function haystackOf(artifact) {
  if (artifact.haystack === null) {
    const texts = [
      "payload_name",
      "key",
      "path",
      "state",
      "problem",
      "user",
      "host",
      "version",
      "class_name",
      "summary",
    ].map((field) => artifact.get(field) ?? "");
    for (const tag of artifact.get("tags") ?? []) texts.push(tag);
    for (const [name, value] of artifact.params) texts.push(`${name}=${textOf(value, true)}`);
    artifact.haystack = texts.join("\n").toLowerCase();
  }
  return artifact.haystack;
}

// A value without the mark of its type, as Catalog.find sees it: a path is a text; but a tuple is no list.
function comparable(value) {
  const whole = value;
  if (value === null) return {kind: "none", whole};
  if (typeof value === "boolean") return {kind: "bool", value: Number(value), whole};
  if (typeof value === "string") return {kind: "text", value, whole};
  if (Array.isArray(value)) return {kind: "list", items: value.map(comparable), whole};
  const number = numberOf(value);
  if (number !== null) return {kind: "number", value: number, whole};
  const [[mark, inner], ...others] = [...Object.entries(value), [""]];
  if (others.length !== 1 || !mark.startsWith("$")) return {kind: "other", whole};
  if (Array.isArray(inner)) return {...comparable(inner), isTuple: mark === "$tuple", whole};
  return typeof inner === "object" ? {kind: "other", whole} : comparable(inner);
}

// Less than, equal to or greater than 0, as `own` is before, at or after `other`; NaN if they have no order.
function orderOf(own, other) {
  if (other.word !== undefined && own.kind !== other.kind) return textOrder(textOf(own.whole, true), other.word);
  if (own.kind !== other.kind) return NaN;
  if (own.kind === "none") return 0;
  if (own.kind === "text") return own.value < other.value ? -1 : Number(own.value > other.value);
  if (own.kind !== "list") return own.value === other.value ? 0 : own.value - other.value;
  const isSame = Boolean(own.isTuple) === Boolean(other.isTuple) && own.items.length === other.items.length;
  return isSame && own.items.every((item, at) => orderOf(item, other.items[at]) === 0) ? 0 : NaN;
}

function textOrder(text, word) {
  const [one, other] = [text.toLowerCase(), word.toLowerCase()];
  return one < other ? -1 : Number(one > other);
}

// What an artifact does not have makes every comparison false, but that with None.
function comparing(field, sign, operand) {
  if (operand.kind === "none") return (artifact) => ((field.read(artifact) ?? null) === null) === (sign !== "!=");
  const compares = COMPARISONS.get(sign);
  const isOfMany = field.path === "tags" && operand.kind !== "list"; // any of the tags
  return (artifact) => {
    const value = field.read(artifact);
    if (value === undefined) return false;
    if (!isOfMany) return compares(orderOf(comparable(value), operand));
    const isAny = value.some((tag) => orderOf(comparable(tag), operand) === 0);
    return sign === "!=" ? !isAny : isAny;
  };
}

function comparingFields(field, sign, other) {
  return (artifact) => {
    const [one, two] = [field.read(artifact), other.read(artifact)];
    return one !== undefined && two !== undefined && COMPARISONS.get(sign)(orderOf(comparable(one), comparable(two)));
  };
}

// params.n in (1, 2)
function amongOf(field, list) {
  return (artifact) => {
    const value = field.read(artifact);
    return value !== undefined && list.items.some((item) => orderOf(comparable(value), item) === 0);
  };
}

// "best" in tags, "lstm" in name
function elementOf(literal, field) {
  return (artifact) => {
    const own = comparable(field.read(artifact) ?? null);
    if (own.kind === "text") return literal.kind === "text" && own.value.includes(literal.value);
    return own.kind === "list" && own.items.some((item) => orderOf(item, literal) === 0);
  };
}

// ---------------------------------------------------------------------------------------------------------------------
// Names: a wrong one is said, with those that look like it

let everyField = null;

function allFields() {
  everyField ??= new Map(fieldsOf(listed).map((field) => [field.path, field]));
  return everyField;
}

// A field that some artifact has; "n" is short for params.n or metrics.n.
function knownField(path) {
  for (const full of [path, `params.${path}`, `metrics.${path}`]) {
    const field = fieldOf(full);
    if (field && (field.section === "plain" || allFields().has(full) || isSomewhere(field))) return field;
  }
  return null;
}

function isSomewhere(field) {
  return listed.some((artifact) => field.read(artifact) !== undefined);
}

function unknownField(path) {
  const names = [...allFields().keys(), ...PLAIN_FIELDS.keys()];
  const near = names
    .map((name) => [Math.min(distance(path, name), distance(path, name.replace(/^\w+\./, ""))), name])
    .filter(([steps]) => steps <= Math.max(2, path.length / 3))
    .sort(([one], [other]) => one - other)
    .slice(0, 3);
  const hint = near.length
    ? `Did you mean ${near.map(([, name]) => name).join(", ")}?`
    : "See Columns for what there is.";
  return `No artifact here has ${printable(path, 60)}. ${hint}`;
}

// How many letters have to be changed, added or removed to make one word of the other
function distance(one, other) {
  [one, other] = [one.slice(0, 60), other.slice(0, 60)];
  let row = Array.from({length: other.length + 1}, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[other.length];
}
