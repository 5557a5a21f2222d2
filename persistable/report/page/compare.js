// Two or more artifacts side by side: what differs comes first, then what is the same.

const MOST_COMPARED = 12;
const MADE = "made"; // when and by whom: it nearly always differs, and is not counted as a difference

function renderCompare(view) {
  const some = state.compare
    .map((id) => byPath.get(id))
    .filter(Boolean)
    .slice(0, MOST_COMPARED);
  if (some.length < 2) {
    view.replaceChildren(
      make(
        "p",
        {class: "empty"},
        "Mark two or more artifacts in the table (the boxes at the left, or the space bar), and they are compared here."
      )
    );
    return;
  }
  const lines = comparedLines(some);
  const differing = lines.filter((line) => line.differs);
  const same = lines.filter((line) => !line.differs);
  const count = differing.filter((line) => line.group !== MADE).length;
  const rest = make(
    "details",
    {
      class: "same",
      open: state.same,
      toggle: (event) => {
        state.same = event.currentTarget.open;
      },
    },
    make("summary", {}, `The same in all: ${same.length}`),
    compareTable(some, same)
  );
  const body = differing.length ? compareTable(some, differing) : make("p", {class: "empty"}, "Nothing differs.");
  view.replaceChildren(
    make(
      "div",
      {class: "stage"},
      make(
        "div",
        {class: "bar"},
        make("span", {}, `${amount(some.length, "artifact")}, ${amount(count, "difference")}`),
        state.compare.length > some.length
          ? make("span", {class: "pale"}, `the first ${MOST_COMPARED} of ${state.compare.length}`)
          : null,
        make("button", {type: "button", click: () => go({compare: [], view: "table"})}, "Clear")
      ),
      make(
        "div",
        {class: "scroll", tabindex: 0, role: "region", "aria-label": "Comparison"},
        body,
        same.length ? rest : null
      )
    )
  );
}

// One line for each param, metric, upstream and circumstance of any of them.
function comparedLines(some) {
  const lines = [];
  const add = (group, name, values, isText = false) => {
    if (values.every((value) => value === undefined)) return;
    const texts = values.map((value) => (value === undefined ? "" : textOf(value, isText)));
    lines.push({group, name, values, texts, isText, differs: new Set(texts).size > 1});
  };
  const plain = (group, names) => {
    for (const name of names) {
      const values = some.map((artifact) => artifact.get(name) ?? undefined);
      add(group, PLAIN_FIELDS.get(name) ?? name, values, true);
    }
  };
  for (const name of namesIn(some, "params")) add("params", name, valuesIn(some, "params", name));
  addUpstreams(some, "", new Set(), add);
  for (const name of namesIn(some, "metrics")) add("metrics", name, valuesIn(some, "metrics", name));
  plain("artifact", [
    "payload_name",
    "version",
    "state",
    "problem",
    "tags",
    "summary",
    "type",
    "format",
    "size",
    "digest",
  ]);
  plain(MADE, ["class_name", "at", "seconds", "user", "host"]);
  addEnvironments(some, add);
  return lines;
}

function valuesIn(some, section, name) {
  return some.map((artifact) => artifact?.[section].get(name));
}

function addEnvironments(some, add) {
  const environments = some.map((artifact) => artifact.get("environment") ?? {});
  const packages = environments.map((environment) => new Map(Object.entries(environment.packages ?? {})));
  add(
    MADE,
    "python",
    environments.map((environment) => environment.python),
    true
  );
  for (const name of new Set(packages.flatMap((those) => [...those.keys()]))) {
    add(
      MADE,
      name,
      packages.map((those) => those.get(name)),
      true
    );
  }
  add(
    MADE,
    "git commit",
    environments.map((environment) => environment.git?.commit),
    true
  );
}

// An upstream that is the same needs one line. Where they are others, what differs between them is what one asks for.
function addUpstreams(some, path, seen, add) {
  for (const role of new Set(some.flatMap((artifact) => [...(artifact?.upstreams.keys() ?? [])]))) {
    const upstreams = some.map((artifact) => artifact?.upstreams.get(role));
    const group = path + printable(role, 60);
    add(
      "upstreams",
      group,
      upstreams.map((upstream) => upstream && {$upstream: upstream.id})
    );
    const set = upstreams.map((upstream) => upstream?.id).join("\n");
    if (new Set(upstreams).size === 1 || seen.has(set)) continue;
    seen.add(set);
    const present = upstreams.filter(Boolean);
    for (const section of ["params", "metrics"]) {
      for (const name of namesIn(present, section)) {
        const values = valuesIn(upstreams, section, name);
        const texts = new Set(values.map((value) => (value === undefined ? "" : textOf(value))));
        if (texts.size > 1)
          add(section === "params" ? "params of upstreams" : "metrics of upstreams", `${group} › ${name}`, values);
      }
    }
    addUpstreams(upstreams, `${group} › `, seen, add);
  }
}

function compareTable(some, lines) {
  const groups = new Map();
  for (const line of lines) groups.set(line.group, [...(groups.get(line.group) ?? []), line]);
  const head = make(
    "tr",
    {},
    make("th", {scope: "col"}, ""),
    some.map((artifact) =>
      make(
        "th",
        {scope: "col"},
        link(artifact),
        " ",
        stateMarks(artifact),
        make(
          "button",
          {
            type: "button",
            class: "close",
            "aria-label": `Remove ${artifact.name} ${artifact.short} from the comparison`,
            click: () => toggleCompared(artifact),
          },
          "×"
        )
      )
    )
  );
  const bodies = [...groups].map(([group, those]) =>
    make(
      "tbody",
      {},
      make("tr", {class: "group"}, make("th", {colspan: some.length + 1, scope: "rowgroup"}, group)),
      those.map(compareRow)
    )
  );
  return make("table", {class: "compare"}, make("thead", {}, head), bodies);
}

function compareRow({group, name, values, texts, isText, differs}) {
  const usual = mostFrequent(texts);
  return make(
    "tr",
    {},
    make("th", {scope: "row"}, breakable(name)),
    values.map((value, index) => {
      const isOdd = differs && group !== MADE && (texts.length === 2 || texts[index] !== usual);
      return make(
        "td",
        {class: isOdd ? "differs" : null},
        value === undefined ? make("i", {class: "pale"}, "nothing") : comparedValue(value, isText)
      );
    })
  );
}

function comparedValue(value, isText) {
  return value?.$upstream !== undefined && byPath.has(value.$upstream)
    ? link(byPath.get(value.$upstream))
    : printable(textOf(value, isText));
}

// The value that most have: of several artifacts, those that have another one are marked.
function mostFrequent(texts) {
  const counts = new Map();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  const [text, count] = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best));
  return count > 1 ? text : null;
}
