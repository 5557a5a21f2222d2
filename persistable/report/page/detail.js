// The panel of the selected artifact: all that is known of it, its neighbours as links, and the code to load it.

const SHOWN_LINKS = 30;

function renderDetail() {
  const panel = byId("detail");
  const artifact = byPath.get(state.selected);
  panel.hidden = !artifact;
  if (!artifact) return;
  panel.setAttribute("aria-label", `${printable(artifact.name, 80)} ${artifact.short}`);
  panel.replaceChildren(
    ...[
      detailHead(artifact),
      ...problemsOf(artifact),
      section("Params", valuesOf(artifact.params)),
      section("Metrics", valuesOf(artifact.metrics)),
      section("Made", madeOf(artifact)),
      section("Payload", payloadOf(artifact)),
      section("Made from", upstreamsOf(artifact)),
      section("Used by", dependentsOf(artifact)),
      artifact.state === "whole" ? section("Load it", loadingCode(artifact)) : null,
    ].filter(Boolean)
  );
  panel.scrollTop = 0;
}

function section(title, content) {
  return content ? make("section", {}, make("h3", {}, title), content) : null;
}

function detailHead(artifact) {
  const marked = state.compare.includes(artifact.id);
  const here = artifact.state !== "missing";
  return make(
    "div",
    {class: "top"},
    make(
      "button",
      {type: "button", class: "close", "aria-label": "Close", title: "Close (Esc)", click: () => select(null)},
      "×"
    ),
    make("h2", {}, printable(artifact.name, 120), " ", stateMarks(artifact)),
    make("p", {class: "mono pale key"}, artifact.key || artifact.id),
    make(
      "div",
      {class: "actions"},
      here
        ? make(
            "button",
            {type: "button", "aria-pressed": String(marked), click: () => toggleCompared(artifact)},
            marked ? "✓ Marked to compare" : "Mark to compare"
          )
        : null,
      make("button", {type: "button", click: () => go({view: "lineage", root: artifact.id})}, "Lineage"),
      artifact.key ? make("button", {type: "button", click: copying(() => artifact.key)}, "Copy key") : null
    )
  );
}

function problemsOf(artifact) {
  const problems = [];
  if (artifact.get("problem")) problems.push(artifact.get("problem"));
  if (artifact.outdated) problems.push(`${outdatedText(artifact)}.`);
  return problems.map((text) => make("p", {class: "problem"}, printable(text, 1000)));
}

function pairs(entries) {
  const lines = entries.filter(([, value]) => value !== undefined && value !== null && value !== "");
  if (!lines.length) return null;
  return make(
    "table",
    {class: "pairs"},
    lines.map(([name, value]) =>
      make(
        "tr",
        {},
        make("th", {scope: "row"}, breakable(name)),
        make("td", {}, value instanceof Node ? value : printable(value))
      )
    )
  );
}

function valuesOf(map) {
  return pairs([...map].map(([name, value]) => [name, textOf(value)]));
}

function madeOf(artifact) {
  const at = artifact.get("at");
  const seconds = artifact.get("seconds");
  const by = [artifact.get("user"), artifact.get("host")].filter(Boolean).join(" on ");
  const environment = artifact.get("environment") ?? {};
  const git = environment.git;
  const packages = Object.entries(environment.packages ?? {}).map(
    ([name, version]) => `${name} ${textOf(version, true)}`
  );
  return pairs([
    ["at", at && `${shortTime(at)} UTC`],
    ["in", typeof seconds === "number" ? duration(seconds) : undefined],
    ["by", by],
    ["class", artifact.get("class_name")],
    ["version", artifact.get("version")],
    ["python", environment.python && textOf(environment.python, true)],
    ["packages", packages.join(", ")],
    [
      "git",
      git && typeof git === "object"
        ? `${printable(git.commit, 12).replace("…", "")}${git.dirty ? ", with changes that were not committed" : ""}`
        : undefined,
    ],
    ["tags", artifact.get("tags")?.join(", ")],
  ]);
}

function payloadOf(artifact) {
  const size = artifact.get("size");
  return pairs([
    ["summary", artifact.get("summary")],
    ["type", artifact.get("type")],
    ["format", artifact.get("format")],
    [
      "size",
      typeof size === "number" ? `${bytes(size)}${size >= 1000 ? ` (${size.toLocaleString("en")} B)` : ""}` : undefined,
    ],
    ["digest", artifact.get("digest")],
    ["path", artifact.state === "whole" ? undefined : artifact.get("path")],
  ]);
}

function link(artifact) {
  return make(
    "button",
    {type: "button", class: "link", click: () => select(artifact)},
    printable(artifact.name, 60),
    " ",
    make("span", {class: "mono pale"}, artifact.short)
  );
}

function upstreamsOf(artifact) {
  if (!artifact.upstreams.size) return null;
  return pairs(
    [...artifact.upstreams].map(([role, upstream]) => [
      role,
      make(
        "span",
        {},
        link(upstream),
        " ",
        stateMarks(upstream),
        artifact.remade.has(role) ? make("b", {class: "mark outdated"}, "⟳ made again since") : null
      ),
    ])
  );
}

function dependentsOf(artifact) {
  const dependents = [...artifact.dependents];
  if (!dependents.length) return null;
  const more = dependents.length - SHOWN_LINKS;
  return make(
    "ul",
    {},
    dependents.slice(0, SHOWN_LINKS).map((dependent) => make("li", {}, link(dependent), " ", stateMarks(dependent))),
    more > 0 ? make("li", {class: "pale"}, `and ${more.toLocaleString("en")} more`) : null
  );
}

function loadingCode(artifact) {
  const [store, key] = [data.about.store, `${artifact.name}/${artifact.short}`].map(pythonText);
  const code = `from persistable import Catalog\n\npayload = Catalog(${store}).load(${key})`;
  const lines = code.split("\n").flatMap((line, number) => (number ? [make("br"), line] : [line]));
  return make(
    "div",
    {class: "code"},
    make("button", {type: "button", click: copying(() => code)}, "Copy"),
    make("pre", {}, make("code", {}, lines))
  );
}

// A literal of Python that holds nothing but visible ASCII
function pythonText(text) {
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  );
}

function copying(textOfIt) {
  return async (event) => {
    const button = event.currentTarget;
    const before = button.textContent;
    button.textContent = (await copy(textOfIt())) ? "Copied" : "Not copied: select it, and press Ctrl+C";
    setTimeout(() => {
      button.textContent = before;
    }, 1500);
  };
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", {class: "unseen"}); // where a page from a drive may not use the clipboard
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
