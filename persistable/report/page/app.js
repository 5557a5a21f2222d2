// The page as a whole: what is shown is a state, the state is in the address, and whatever changes it draws anew.

const FIRST_STATE = {
  view: "table",
  q: "",
  name: "",
  sort: "-at",
  selected: "",
  compare: [],
  columns: null,
  x: "",
  y: "",
  colour: "",
  logx: false,
  logy: false,
  root: "",
  below: false,
  theme: "",
};
const VIEWS = new Map([
  ["table", "Artifacts"],
  ["plot", "Plot"],
  ["lineage", "Lineage"],
  ["compare", "Compare"],
]);
const RENDERERS = {table: renderTable, plot: renderPlot, lineage: renderLineage, compare: renderCompare};

const state = {...FIRST_STATE, same: false};

function toHash() {
  const parts = new URLSearchParams();
  for (const [name, first] of Object.entries(FIRST_STATE)) {
    const value = state[name];
    if (Array.isArray(value))
      for (const item of value.length ? value : first === null ? [""] : []) parts.append(name, item);
    else if (value !== first) parts.set(name, value === true ? "1" : String(value));
  }
  return `#${parts}`;
}

function fromHash(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  for (const [name, first] of Object.entries(FIRST_STATE)) {
    if (!parts.has(name)) state[name] = Array.isArray(first) ? [] : first;
    else if (Array.isArray(first) || first === null) state[name] = parts.getAll(name).filter(Boolean);
    else state[name] = typeof first === "boolean" ? parts.get(name) === "1" : parts.get(name);
  }
  if (!VIEWS.has(state.view)) state.view = "table";
}

let shownHash = null; // of what is drawn

// Change the state; with `push`, the back button comes back to what was.
function go(changes, {push = true, draws = render} = {}) {
  Object.assign(state, changes);
  const hash = toHash();
  if (hash === shownHash) return draws();
  shownHash = hash;
  if (push) location.hash = hash;
  else location.replace(hash);
  return draws();
}

addEventListener("hashchange", () => {
  if (location.hash === shownHash || (location.hash === "" && shownHash === "#")) return;
  fromHash(location.hash);
  shownHash = toHash();
  byId("search").value = state.q;
  render();
});

// ---------------------------------------------------------------------------------------------------------------------
// What is found

// What is asked for again and again while somebody types; all of it is of `named`, in the order `sort`.
const cache = {
  query: null,
  found: [],
  problems: [],
  named: null,
  names: [],
  fields: null,
  usual: null,
  numeric: new Map(),
  sort: null,
  ordered: [],
};

function namedArtifacts() {
  if (cache.named !== state.name) {
    Object.assign(cache, {named: state.name, fields: null, usual: null, numeric: new Map(), sort: null});
    cache.names = state.name ? listed.filter((artifact) => artifact.get("payload_name") === state.name) : listed;
  }
  return cache.names;
}

function fieldsOfNow() {
  const some = namedArtifacts();
  cache.fields ??= fieldsOf(some);
  return cache.fields;
}

function isNumericNow(field) {
  const some = namedArtifacts();
  if (!cache.numeric.has(field.path)) cache.numeric.set(field.path, isNumeric(field, some));
  return cache.numeric.get(field.path);
}

function orderedArtifacts() {
  const some = namedArtifacts();
  if (cache.sort !== state.sort) {
    const field = fieldOf(state.sort.replace(/^-/, ""));
    Object.assign(cache, {sort: state.sort, query: null});
    cache.ordered = field ? sorted(some, field, state.sort.startsWith("-")) : some;
  }
  return cache.ordered;
}

function found() {
  const some = orderedArtifacts();
  if (cache.query !== state.q) {
    const {test, problems} = readQuery(state.q);
    Object.assign(cache, {query: state.q, problems, found: some.filter(test)});
  }
  return cache.found;
}

function select(artifact, {push = true} = {}) {
  const id = artifact?.id ?? "";
  go(
    {selected: id},
    {
      push,
      draws: () => {
        renderDetail();
        if (state.view === "table" && table.grid) refreshTable();
        else renderView();
      },
    }
  );
}

function toggleCompared(artifact) {
  const rest = state.compare.filter((id) => id !== artifact.id);
  go(
    {compare: rest.length < state.compare.length ? rest : [...rest, artifact.id]},
    {
      push: false,
      draws: () => {
        if (state.view === "table") refreshTable();
        else renderView();
        renderTabs();
        renderDetail();
      },
    }
  );
}

// ---------------------------------------------------------------------------------------------------------------------
// Drawing

function render() {
  document.documentElement.dataset.theme = state.theme;
  renderNames();
  renderMarks();
  renderTabs();
  const some = found();
  byId("found").textContent = countText(some);
  byId("problems").textContent = cache.problems.join(" ");
  byId("problems").hidden = !cache.problems.length;
  byId("chooser").hidden = state.view !== "table";
  if (byId("chooser").open) renderChooser();
  renderDetail(); // first: it takes room from the view
  renderView();
}

// What is not ours is no artifact, and counted apart.
function countText(some) {
  const others = (those) => those.filter((artifact) => artifact.state === "foreign").length;
  const [all, here] = [others(listed), others(some)];
  const artifactsText = amount(listed.length - all, "artifact");
  if (some.length === listed.length) {
    return all ? `${artifactsText}, ${amount(all, "other entry", "other entries")}` : artifactsText;
  }
  const foundText = `${(some.length - here).toLocaleString("en")} of ${artifactsText}`;
  return here
    ? `${foundText}, ${here.toLocaleString("en")} of ${amount(all, "other entry", "other entries")}`
    : foundText;
}

function renderView() {
  hideTooltip();
  const scrolled = byId("view").querySelector(".scroll");
  const [left, top, view] = [scrolled?.scrollLeft ?? 0, scrolled?.scrollTop ?? 0, byId("view").dataset.view];
  RENDERERS[state.view](byId("view"));
  byId("view").dataset.view = state.view;
  byId("view").setAttribute("aria-labelledby", `tab-${state.view}`);
  if (view === state.view) byId("view").querySelector(".scroll")?.scrollTo(left, top);
}

function chip(text, count, pressed, click, kind = "") {
  return make(
    "button",
    {type: "button", class: `chip ${kind}`, "aria-pressed": String(pressed), click},
    printable(text, 60),
    make("span", {class: "count"}, count.toLocaleString("en"))
  );
}

function counted(texts) {
  const counts = new Map();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}

function renderNames() {
  const counts = [...counted(listed.map((artifact) => artifact.get("payload_name")).filter(Boolean))].sort(
    ([one], [other]) => collator.compare(one, other)
  );
  const choose = (name) => () =>
    go({name: state.name === name ? "" : name, columns: null, sort: FIRST_STATE.sort, x: "", y: "", colour: ""});
  byId("names").hidden = counts.length < 2;
  byId("names").replaceChildren(
    chip("all", listed.length, !state.name, choose("")),
    ...counts.map(([name, count]) => chip(name, count, state.name === name, choose(name)))
  );
}

// States other than whole, each a filter; all in words.
function renderMarks() {
  const counts = counted(listed.filter((artifact) => artifact.state !== "whole").map((artifact) => artifact.state));
  const outdated = listed.filter((artifact) => artifact.outdated).length;
  const choose = (query) => () => {
    const q = state.q === query ? "" : query;
    byId("search").value = q;
    go({q, view: "table"});
  };
  const chips = [...counts].map(([word, count]) =>
    chip(MARKS[word] ?? word, count, state.q === `state = ${word}`, choose(`state = ${word}`), kindOf(word))
  );
  if (outdated)
    chips.push(chip("⟳ outdated", outdated, state.q === "outdated != no", choose("outdated != no"), "outdated"));
  byId("marks").hidden = !chips.length;
  byId("marks").replaceChildren(...chips);
}

function renderTabs() {
  const number = state.compare.filter((id) => byPath.has(id)).length;
  byId("tabs").replaceChildren(
    ...[...VIEWS].map(([view, title]) =>
      make(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${view}`,
          "aria-controls": "view",
          "aria-selected": String(state.view === view),
          tabindex: state.view === view ? 0 : -1,
          class: view === "compare" && number > 1 ? "ready" : null,
          click: () => go({view, root: view === "lineage" ? state.selected || state.root : state.root}),
        },
        title,
        view === "compare" && number ? make("span", {class: "count"}, number) : null
      )
    )
  );
}

function renderAbout() {
  const {title, store, made, persistable, where} = data.about;
  document.title = printable(title, 200);
  byId("title").textContent = printable(title, 200);
  byId("about").replaceChildren(
    make("span", {class: "mono"}, printable(store, 300)),
    ` · made ${shortTime(made)} UTC by persistable ${persistable}`,
    where ? make("span", {}, " · only ", make("code", {}, printable(where, 300))) : ""
  );
}

// What words are searched in takes a moment to put together: while nobody waits for it.
function prepareSearch(start = 0) {
  const end = Math.min(start + 500, listed.length);
  for (let index = start; index < end; index++) haystackOf(listed[index]);
  if (end < listed.length) setTimeout(prepareSearch, 0, end);
}

// ---------------------------------------------------------------------------------------------------------------------
// Keys and clicks on the page

byId("search").addEventListener("input", () => go({q: byId("search").value}, {push: false}));

byId("theme").addEventListener("click", () => {
  const isDark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  go({theme: isDark ? "light" : "dark"}, {push: false});
});

byId("chooser").addEventListener("toggle", () => byId("chooser").open && renderChooser());

byId("tabs").addEventListener("keydown", (event) => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!step) return;
  const views = [...VIEWS.keys()];
  const view = views[(views.indexOf(state.view) + step + views.length) % views.length];
  go({view});
  byId(`tab-${view}`).focus();
});

addEventListener("click", (event) => {
  if (!byId("chooser").contains(event.target)) byId("chooser").open = false;
});

addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName ?? "");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    byId("search").focus();
  }
  if (event.key === "Escape") escape(event);
});

// Esc closes what is open, one thing at a time.
function escape(event) {
  if (byId("chooser").open) byId("chooser").open = false;
  else if (event.target === byId("search") && state.q) {
    byId("search").value = "";
    go({q: ""}, {push: false});
  } else if (state.selected) {
    select(null);
    table.grid?.focus({preventScroll: true});
  }
}

addEventListener("resize", () => {
  if (state.view === "table" && table.grid) refreshTable();
  else if (state.view === "plot") renderView();
});

fromHash(location.hash);
shownHash = toHash();
byId("search").value = state.q;
renderAbout();
render();
setTimeout(prepareSearch, 50);
