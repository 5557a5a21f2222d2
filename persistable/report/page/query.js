// The search: plain words, and conditions in the syntax that Catalog.find takes, such as params.n > 100.
//
//   query      = all ("or" all)*
//   all        = one ("and"? one)*                   side by side, all of them must hold
//   one        = "not" one | "(" query ")" | condition | field | word
//   condition  = side (sign side)+                   also 0.1 < params.alpha <= 1
//   sign       = == = != < <= > >= in, not in, is, is not
//   side       = field | number | "text" | [list] | (tuple) | a word without quotes
//
// A comparison is false for what has no such value, != as well; "not params.n == 5" is true for it. Numbers are
// compared with numbers, texts in quotes with texts; a word without quotes means either, in small letters or large.
// A field alone asks for those of which it is true, or that have it.

const PATH = /[\p{L}_][\p{L}\p{N}_#-]*(?:\.[\p{L}\p{N}_#-]+|\["(?:[^"\\]|\\.)*"\]|\['(?:[^'\\]|\\.)*'\]|\[\d+\])*/uy;
const STEP_IN_BRACKETS = /\[("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\]/gu;
const FIELD_START = /(?:params|metrics|dependencies)[.[]/y;
const SIGN = /\s*(==|!=|<=|>=|=|<|>)\s*/y;
const SIGN_IN_WORDS = /\s+(not\s+in|in|is\s+not|is)(?=[\s([])\s*/y;
const NUMBER = /[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:e[-+]?\d+)?(?![^\s)\],<>=!])/iy;
const STRING = /"((?:[^"\\]|\\.)*)"?|'((?:[^'\\]|\\.)*)'?/sy;
const WORD = /[^\s()]+/y;
const WORD_IN_LIST = /[^\s()[\],]+/y;
const OR = /\s*or(?![^\s("'])/y;
const AND = /\s*and(?![^\s("'])/y;
const NOT = /not(?![^\s(])\s*/y;
const NO_WORD = /^[=<>!*%~+/&|^,)\]]+$/;

const TURNED = new Map([
  ["<", ">"],
  ["<=", ">="],
  [">", "<"],
  [">=", "<="],
]);
const MOST_LEVELS = 50;
const NAMED = new Map([
  ["None", null],
  ["True", true],
  ["False", false],
]);

// Return {test, problems}: an artifact is found if the test is true of it. What makes no sense is left out of the test.
function readQuery(text) {
  const reader = new QueryReader(text);
  const test = reader.readAny() ?? (() => true);
  return {test, problems: [...new Set(reader.problems)]};
}

class QueryReader {
  constructor(text) {
    this.text = text;
    this.position = 0;
    this.open = 0; // levels: parentheses, and what is negated
    this.problems = [];
  }

  // What the pattern finds here; null if nothing.
  take(pattern) {
    pattern.lastIndex = this.position;
    const match = pattern.exec(this.text);
    if (match) this.position = pattern.lastIndex;
    return match;
  }

  sees(pattern) {
    pattern.lastIndex = this.position;
    return pattern.test(this.text);
  }

  isAtEnd() {
    this.take(/\s*/y);
    return this.position >= this.text.length || (this.open > 0 && this.text[this.position] === ")");
  }

  // Each reader returns a test, or null if there is nothing, or nothing that makes sense.
  fail(problem) {
    this.problems.push(problem);
    return null;
  }

  // One level down, as far as a person would write it.
  within(read) {
    this.open++;
    if (this.open > MOST_LEVELS) this.position = this.text.length;
    const found = this.open > MOST_LEVELS ? this.fail("This is nested too deeply.") : read();
    this.open--;
    return found;
  }

  readAny() {
    const tests = [this.readAll()];
    while (!this.isAtEnd() && this.take(OR)) tests.push(this.readAll());
    const some = tests.filter(Boolean);
    return some.length > 1 ? (artifact) => some.some((test) => test(artifact)) : (some[0] ?? null);
  }

  readAll() {
    const tests = [];
    while (!this.isAtEnd() && !this.sees(OR)) {
      if (!this.take(AND)) tests.push(this.readOne());
    }
    return everyOne(tests);
  }

  readOne() {
    if (this.take(NOT)) {
      const test = this.isAtEnd() ? null : this.within(() => this.readOne());
      return test && ((artifact) => !test(artifact));
    }
    if (this.take(/\(/y)) {
      const test = this.within(() => this.readAny());
      this.take(/\s*\)/y);
      return test;
    }
    const start = this.position;
    const test = this.readCondition();
    if (test !== undefined) return test;
    this.position = start;
    return this.readWord();
  }

  readWord() {
    const string = this.take(STRING);
    const word = string ? textIn(string) : (this.take(WORD) ?? this.take(/./sy))[0];
    if (!string && NO_WORD.test(word)) {
      return this.fail(`What is ${word} for? Write conditions as params.n > 100; a field stands first in them.`);
    }
    return word ? containing(word.toLowerCase()) : null;
  }

  // Undefined if this is no condition: then it is a word.
  readCondition() {
    const start = this.position;
    let left = this.readLiteral() ?? this.readPath();
    if (!left) return undefined;
    let sign = this.readSign(left);
    if (!sign) return left.path !== undefined && isFieldPath(left.path) ? this.flag(left) : undefined;
    const tests = [];
    for (; sign; sign = this.readSign(left)) {
      const right = this.readSide(left, sign);
      if (!right) return this.fail(`${printable(this.text.slice(start, this.position).trim(), 80)} what?`);
      tests.push(this.comparison(left, sign, right));
      left = right;
    }
    return everyOne(tests);
  }

  readLiteral() {
    const string = this.take(STRING);
    if (string) return {kind: "text", value: textIn(string)};
    const number = this.take(NUMBER);
    return number && {kind: "number", value: Number(number[0].replaceAll("_", "")), word: number[0]};
  }

  readPath() {
    const path = this.take(PATH);
    return path && {path: path[0]};
  }

  // Between words that are searched, "in" and "is" are such words too.
  readSign(left) {
    const sign = this.take(SIGN);
    if (sign) return sign[1];
    const start = this.position;
    const word = this.take(SIGN_IN_WORDS)?.[1].replace(/\s+/, " ");
    if (!word) return null;
    const isMeant = word.endsWith("in")
      ? left.path === undefined
        ? this.sees(PATH)
        : this.sees(/[[(]/y)
      : left.path !== undefined && this.sees(/(?:None|True|False)(?![^\s)])/y);
    if (isMeant && (left.path === undefined || isFieldPath(left.path) || knownField(left.path))) return word;
    this.position = start;
    return null;
  }

  readSide(left, sign) {
    if (this.sees(/[[(]/y)) {
      const list = this.readList();
      const isInParentheses = list.isTuple && list.items.length === 1 && !list.comma;
      return isInParentheses && !sign.endsWith("in") ? list.items[0] : list;
    }
    if (left.path === undefined || this.sees(FIELD_START)) return this.readPath() ?? this.readLiteral();
    return this.readLiteral() ?? literalOf(this.take(WORD));
  }

  readList() {
    const opening = this.take(/[[(]/y)[0];
    const list = {kind: "list", isTuple: opening === "(", items: [], comma: false};
    while (this.take(/\s*/y) && this.position < this.text.length && !this.take(/[\])]/y)) {
      const item = this.sees(/[[(]/y)
        ? this.within(() => this.readList())
        : (this.readLiteral() ?? literalOf(this.take(WORD_IN_LIST)));
      if (item) list.items.push(item);
      if (this.take(/\s*,/y)) list.comma = true;
    }
    return list;
  }

  flag({path}) {
    const field = this.fieldAt(path);
    return field && ((artifact) => ![undefined, null, false].includes(field.read(artifact)));
  }

  fieldAt(path) {
    if (/\[\d+\]/.test(path)) return this.fail(`Elements of lists have no search here: ${printable(path, 60)}.`);
    const plain = path.replace(STEP_IN_BRACKETS, (_, step) => {
      const name = textIn(/^(?:"(.*)"|'(.*)')$/s.exec(step));
      return stepOf(name).startsWith("[") ? stepOf(name) : `.${name}`;
    });
    return knownField(plain) ?? this.fail(unknownField(plain));
  }

  comparison(left, sign, right) {
    const [field, other] = [left, right].map((side) => (side.path === undefined ? null : this.fieldAt(side.path)));
    if (left.path === undefined && right.path === undefined) return this.fail("Two constants need no comparison.");
    if ((left.path !== undefined && !field) || (right.path !== undefined && !other)) return null;
    if (sign === "in" || sign === "not in") {
      const test = field ? amongOf(field, right) : elementOf(left, other);
      return sign === "in" ? test : (artifact) => !test(artifact);
    }
    if (sign === "is" || sign === "is not") sign = sign === "is" ? "==" : "!=";
    if (field && other) return comparingFields(field, sign, other);
    return field ? comparing(field, sign, right) : comparing(other, TURNED.get(sign) ?? sign, left);
  }
}

function everyOne(tests) {
  const some = tests.filter(Boolean);
  return some.length > 1 ? (artifact) => some.every((test) => test(artifact)) : (some[0] ?? null);
}

function isFieldPath(path) {
  return /^(?:params|metrics|dependencies)[.[]/.test(path);
}

function textIn([, double, single]) {
  return (double ?? single ?? "").replace(/\\(.)/gs, (_, letter) => ({n: "\n", r: "\r", t: "\t"})[letter] ?? letter);
}

function literalOf(match) {
  if (!match) return null;
  const word = match[0];
  if (!NAMED.has(word)) return {kind: "word", value: word, word};
  return {...comparable(NAMED.get(word)), word};
}
