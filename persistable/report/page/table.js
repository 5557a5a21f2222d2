// The table: only the rows that can be seen are in the document.

const ROW = 29; // the height of a row in pixels, as in page.css
const MARGIN = 12; // rows above and below what can be seen
const PRINTED = 1000; // rows that go to a printer

const table = {rows: [], columns: [], first: 0, last: 0, key: "", grid: null, body: null};

const USUAL_COLUMNS = ["payload_name", "key", "at", "size", "user", "summary"];

// The columns that are shown, unless others are chosen: of one payload name, the params and metrics in which the
// artifacts differ.
function usualColumns(some) {
  const one = new Set(some.map((artifact) => artifact.get("payload_name"))).size === 1;
  const own = one
    ? fieldsOfNow().filter((field) => field.section !== "upstream" && (some.length === 1 || varies(field, some)))
    : [];
  const upstream = one ? fieldsOfNow().filter((field) => field.section === "upstream" && isHandy(field, some)) : [];
  const usual = USUAL_COLUMNS.filter((path) => !one || path !== "payload_name").map(fieldOf);
  const [start, end] = [usual.splice(0, one ? 1 : 2), usual];
  const texts = one ? [] : [SUMMARY_OF_PARAMS, SUMMARY_OF_METRICS];
  const tags = some.some((artifact) => artifact.get("tags")?.length) ? [fieldOf("tags")] : [];
  const marks = some.some((artifact) => artifact.state !== "whole" || artifact.outdated) ? [fieldOf("state")] : [];
  return [...start, ...marks, ...own.slice(0, 14), ...upstream.slice(0, 4), ...texts, ...end, ...tags];
}

// Params of upstreams are many: worth a column of their own are short ones in which the artifacts differ.
function isHandy(field, some) {
  if (!field.path.includes(".params.") || !varies(field, some)) return false;
  return isNumericNow(field) || some.every((artifact) => textOf(field.read(artifact) ?? "").length < 24);
}

function summaryField(section) {
  const read = (artifact) => {
    const texts = [];
    for (const [name, value] of artifact[section]) {
      if (texts.length === 5) return `${texts.join(", ")}, …`;
      texts.push(`${name}=${printable(shownShort(value, false), 24)}`);
    }
    return texts.length ? texts.join(", ") : undefined;
  };
  return {path: section, title: section, section: "summary", read};
}

const SUMMARY_OF_PARAMS = summaryField("params");
const SUMMARY_OF_METRICS = summaryField("metrics");

function shownColumns() {
  const some = namedArtifacts();
  if (!state.columns) return (cache.usual ??= usualColumns(some));
  return state.columns
    .map((path) => ({params: SUMMARY_OF_PARAMS, metrics: SUMMARY_OF_METRICS})[path] ?? fieldOf(path))
    .filter(Boolean);
}

function cellText(field, value, artifact) {
  if (field.path === "payload_name") return value ?? artifact.id; // what is not ours has no name, but a path
  if (value === undefined || (value === null && field.section === "plain")) return "";
  if (field.path === "key") return value.slice(0, 8);
  if (field.path === "state") return value === "whole" ? "" : value;
  if (field.path === "at") return shortTime(value);
  if (field.path === "size") return bytes(value);
  if (field.path === "seconds") return duration(value);
  if (field.path === "tags") return value.join(", ");
  return field.section === "plain" || field.section === "summary" ? textOf(value, true) : shownShort(value);
}

function renderTable(view) {
  table.rows = found();
  table.columns = shownColumns();
  table.numeric = new Set(table.columns.filter(isNumericNow).map((field) => field.path));
  table.body = make("div", {class: "body", role: "rowgroup"});
  table.body.style.height = `${table.rows.length * ROW}px`;
  table.grid = make(
    "div",
    {
      class: "grid",
      role: "grid",
      tabindex: 0,
      "aria-label": "Artifacts",
      "aria-rowcount": table.rows.length + 1,
      "aria-multiselectable": "true",
      keydown: tableKey,
      scroll: renderRows,
    },
    tableHead(),
    table.body
  );
  const widths = table.columns.map(columnWidth);
  table.grid.style.setProperty(
    "--columns",
    `34px ${widths.map((width) => `minmax(${width}px, ${width}fr)`).join(" ")}`
  );
  table.grid.style.setProperty("--width", `${34 + widths.reduce((sum, width) => sum + width, 0)}px`);
  if (!table.rows.length) table.body.append(make("p", {class: "empty"}, emptyText()));
  view.replaceChildren(table.grid);
  table.first = table.last = 0; // all anew
  showSelectedRow();
  renderRows();
}

function emptyText() {
  if (listed.length) return "No artifact is like this. Esc in the search shows all.";
  const {where} = data.about;
  return where ? `No artifact was like this when the report was made: ${where}` : "This store holds no artifacts yet.";
}

function columnWidth(field) {
  if (field.path === "at") return 152;
  if (field.path === "state")
    return table.rows.some((artifact) => artifact.outdated && artifact.state !== "whole") ? 210 : 124;
  let longest = field.title.length + 2;
  for (const artifact of table.rows.slice(0, 100)) {
    longest = Math.max(longest, printable(cellText(field, field.read(artifact), artifact), 44).length);
  }
  return Math.round(
    Math.min(Math.max(longest, 5), field.section === "summary" ? 44 : 30) *
      (table.numeric.has(field.path) ? 8.9 : 7.6) +
      18
  );
}

function tableHead() {
  const [descending, sortedBy] = [state.sort.startsWith("-"), state.sort.replace(/^-/, "")];
  const titles = table.columns.map((field) => {
    const order = field.path !== sortedBy ? "none" : descending ? "descending" : "ascending";
    const sign = {none: "", descending: " ▾", ascending: " ▴"}[order];
    const clicked = () =>
      go({
        sort: order === "descending" || (order === "none" && !startsDescending(field)) ? field.path : `-${field.path}`,
      });
    const button =
      field.section === "summary"
        ? make("span", {}, field.title)
        : make("button", {type: "button", title: `${field.path}: click to sort`, click: clicked}, field.title + sign);
    return make(
      "span",
      {role: "columnheader", "aria-sort": order, class: table.numeric.has(field.path) ? "number" : null},
      button
    );
  });
  const mark = make(
    "span",
    {role: "columnheader", title: "Mark two or more to compare them"},
    make("span", {class: "unseen"}, "Compare"),
    "⇆"
  );
  return make("div", {class: "head row", role: "row", "aria-rowindex": 1}, mark, titles);
}

function startsDescending(field) {
  return field.path === "at" || field.path === "size" || field.path === "seconds";
}

function renderRows() {
  const {grid, body, rows} = table;
  const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - MARGIN);
  const last = Math.min(rows.length, Math.ceil((grid.scrollTop + (grid.clientHeight || 800)) / ROW) + MARGIN);
  if (!rows.length) return;
  const lines = (from, to) =>
    rows.slice(from, Math.max(from, to)).map((artifact, index) => tableRow(artifact, from + index));
  if (first >= table.last || last <= table.first) body.replaceChildren(...lines(first, last));
  else {
    // those that stay are left as they are: somebody may be about to click one
    for (const line of [...body.children]) if (line.row < first || line.row >= last) line.remove();
    body.prepend(...lines(first, table.first));
    body.append(...lines(table.last, last));
  }
  [table.first, table.last] = [first, last];
}

function tableRow(artifact, index) {
  const isSelected = artifact.id === state.selected;
  const isMarked = state.compare.includes(artifact.id);
  const box = make("input", {
    type: "checkbox",
    tabindex: -1,
    "aria-label": `Compare ${artifact.name} ${artifact.short}`,
    click: (event) => {
      event.stopPropagation();
      toggleCompared(artifact);
    },
  });
  box.checked = isMarked;
  const line = make(
    "div",
    {
      class: `row${isSelected ? " selected" : ""}${isMarked ? " marked" : ""}`,
      role: "row",
      id: `row-${index}`,
      "aria-rowindex": index + 2,
      "aria-selected": String(isSelected),
      click: () => {
        select(artifact);
        table.grid.focus({preventScroll: true});
      },
    },
    make("span", {role: "gridcell"}, box),
    table.columns.map((field) => tableCell(artifact, field))
  );
  line.row = index;
  line.style.top = `${index * ROW}px`;
  return line;
}

function tableCell(artifact, field) {
  const value = field.read(artifact);
  const text = printable(cellText(field, value, artifact), 200);
  const full = value === undefined ? "" : printable(field.path === "tags" ? text : textOf(value, true), 1000);
  const kind = field.path === "key" ? "mono" : table.numeric.has(field.path) ? "number" : null;
  const marks = field.path === "state" ? stateMarks(artifact) : [];
  return make("span", {role: "gridcell", class: kind, title: marks.length ? null : full}, marks.length ? marks : text);
}

const MARKS = {
  corrupt: "✖ corrupt",
  newer: "⇧ newer",
  generating: "… generating",
  failed: "✖ failed",
  unfinished: "◌ unfinished",
  "1.x": "1.x",
  foreign: "? foreign",
  missing: "◌ not here",
};

// What is not whole, or no longer up to date, in words: colours alone would not do.
function stateMarks(artifact) {
  const marks = [];
  if (artifact.state !== "whole") {
    marks.push(
      make(
        "b",
        {class: `mark ${kindOf(artifact.state)}`, title: artifact.get("problem") || artifact.state},
        MARKS[artifact.state] ?? artifact.state
      )
    );
  }
  if (artifact.outdated) marks.push(make("b", {class: "mark outdated", title: outdatedText(artifact)}, "⟳ outdated"));
  return marks;
}

function kindOf(word) {
  return word === "1.x" ? "legacy" : word;
}

function outdatedText(artifact) {
  const roles = (map) => [...map.keys()].map((role) => printable(role, 60)).join(", ");
  const texts = [];
  if (artifact.remade.size) texts.push(`Made again with other content since it was used: ${roles(artifact.remade)}`);
  if (artifact.through.size) texts.push(`Made from what is outdated: ${roles(artifact.through)}`);
  return texts.join(". ");
}

// ---------------------------------------------------------------------------------------------------------------------
// Moving about

function showSelectedRow() {
  const index = table.rows.findIndex((artifact) => artifact.id === state.selected);
  if (index < 0) {
    table.grid.removeAttribute("aria-activedescendant");
    return;
  }
  table.grid.setAttribute("aria-activedescendant", `row-${index}`);
  const room = table.grid.clientHeight - 2 * ROW;
  if (index * ROW < table.grid.scrollTop) table.grid.scrollTop = index * ROW;
  else if (index * ROW > table.grid.scrollTop + room) table.grid.scrollTop = index * ROW - room;
}

function tableKey(event) {
  if (event.target !== table.grid || event.ctrlKey || event.metaKey || event.altKey) return;
  const index = table.rows.findIndex((artifact) => artifact.id === state.selected);
  const page = Math.max(1, Math.floor(table.grid.clientHeight / ROW) - 2);
  const moves = {
    ArrowDown: index + 1,
    ArrowUp: index - 1,
    PageDown: index + page,
    PageUp: index - page,
    Home: 0,
    End: table.rows.length - 1,
  };
  if (event.key in moves && table.rows.length) {
    const target = Math.min(Math.max(moves[event.key], 0), table.rows.length - 1);
    select(table.rows[target], {push: false});
  } else if (event.key === " " && index >= 0) toggleCompared(table.rows[index]);
  else if (event.key === "Enter" && index >= 0) byId("detail").focus();
  else return;
  event.preventDefault();
}

// The rows stay where they are; only what is selected and marked has changed.
function refreshTable() {
  table.first = table.last = 0; // all anew
  showSelectedRow();
  renderRows();
}

addEventListener("beforeprint", () => {
  if (state.view !== "table" || !table.grid) return;
  const rows = table.rows.slice(0, PRINTED);
  table.body.style.height = `${rows.length * ROW}px`;
  table.body.replaceChildren(...rows.map(tableRow));
  if (rows.length < table.rows.length)
    table.grid.append(make("p", {class: "printed"}, `The first ${PRINTED} of ${table.rows.length} rows.`));
});
addEventListener("afterprint", () => state.view === "table" && render());

// ---------------------------------------------------------------------------------------------------------------------
// Columns to choose from

function renderChooser() {
  const chosen = new Set(shownColumns().map((field) => field.path));
  const group = (title, some) =>
    some.length
      ? make(
          "fieldset",
          {},
          make("legend", {}, title),
          some.map((field) => columnChoice(field, chosen))
        )
      : null;
  const own = fieldsOfNow();
  byId("columns").replaceChildren(
    ...[
      group("Artifact", [...PLAIN_FIELDS.keys()].map(fieldOf)),
      group("All in one", [SUMMARY_OF_PARAMS, SUMMARY_OF_METRICS]),
      group(
        "Params",
        own.filter((field) => field.section === "params")
      ),
      group(
        "Metrics",
        own.filter((field) => field.section === "metrics")
      ),
      group(
        "Of upstreams",
        own.filter((field) => field.section === "upstream")
      ),
      make("button", {type: "button", click: () => go({columns: null})}, "As usual"),
    ].filter(Boolean)
  );
}

function columnChoice(field, chosen) {
  const box = make("input", {
    type: "checkbox",
    change: () => {
      const paths = shownColumns().map((column) => column.path);
      go({columns: box.checked ? [...paths, field.path] : paths.filter((path) => path !== field.path)});
    },
  });
  box.checked = chosen.has(field.path);
  return make("label", {title: field.path}, box, printable(field.title, 60));
}
