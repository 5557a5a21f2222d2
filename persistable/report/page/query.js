// The search: plain words, and conditions such as params.n > 100, which must all hold.

const CONDITION = /([\p{L}_](?:[\p{L}\p{N}_.#-]|\["(?:[^"\\]|\\.)*"\])*)\s*(==|!=|<=|>=|=|<|>)\s*("[^"]*"?|'[^']*'?|[^\s"']+)?/uy;
const WORD = /\s*("[^"]*"?|\S+)/uy;

const COMPARISONS = new Map([
  ["=", (order) => order === 0], ["==", (order) => order === 0], ["!=", (order) => order !== 0],
  ["<", (order) => order < 0], ["<=", (order) => order <= 0],
  [">", (order) => order > 0], [">=", (order) => order >= 0],
]);

// Return {tests, problems}: an artifact is found if all tests are true of it.
function readQuery(text) {
  const tests = [];
  const problems = [];
  let position = 0;
  while (position < text.length) {
    if (/\s/.test(text[position])) {
      position++;
      continue;
    }
    CONDITION.lastIndex = WORD.lastIndex = position;
    const condition = CONDITION.exec(text);
    const word = condition ? null : WORD.exec(text)[1];
    position = condition ? CONDITION.lastIndex : WORD.lastIndex;
    if (condition) addCondition(condition, tests, problems);
    else if (word !== "and") tests.push(containing(unquoted(word).toLowerCase()));
  }
  return {tests, problems};
}

function unquoted(text) {
  return text.replace(/^(["'])(.*?)\1?$/s, "$2");
}

function addCondition([, path, operator, operand], tests, problems) {
  const field = knownField(path);
  if (!field) problems.push(unknownField(path));
  else if (operand === undefined) problems.push(`${path} ${operator} what?`);
  else tests.push(comparing(field, COMPARISONS.get(operator), unquoted(operand)));
}

function containing(word) {
  return (artifact) => haystackOf(artifact).includes(word);
}

function haystackOf(artifact) {
  if (artifact.haystack === null) {
    const texts = ["payload_name", "key", "path", "state", "problem", "user", "host", "version", "class_name", "summary"]
      .map((field) => artifact.get(field) ?? "");
    for (const tag of artifact.get("tags") ?? []) texts.push(tag);
    for (const [name, value] of artifact.params) texts.push(`${name}=${textOf(value, true)}`);
    artifact.haystack = texts.join("\n").toLowerCase();
  }
  return artifact.haystack;
}

// What an artifact does not have makes every comparison false.
function comparing(field, comparison, operand) {
  const number = operand.trim() === "" ? NaN : Number(operand);
  const text = operand.toLowerCase();
  const holds = (value) => {
    const own = numberOf(value);
    if (own !== null && !Number.isNaN(number)) return !Number.isNaN(own) && comparison(own - number || (own < number ? -1 : own > number ? 1 : 0));
    const mine = textOf(value, true).toLowerCase();
    return comparison(mine < text ? -1 : mine > text ? 1 : 0);
  };
  return (artifact) => {
    const value = field.read(artifact);
    if (value === undefined) return false;
    return field.path === "tags" ? value.some(holds) : holds(value);
  };
}

// ----------------------------------------------------------------------------------------------------------------------
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
  const near = names.map((name) => [Math.min(distance(path, name), distance(path, name.replace(/^\w+\./, ""))), name])
    .filter(([steps]) => steps <= Math.max(2, path.length / 3)).sort(([one], [other]) => one - other).slice(0, 3);
  const hint = near.length ? `Did you mean ${near.map(([, name]) => name).join(", ")}?` : "See Columns for what there is.";
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
