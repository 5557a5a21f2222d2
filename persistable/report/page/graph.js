// The lineage of an artifact: what it was made from, and if asked for what was made from it, to click through.

const BOX = {width: 196, height: 56, between: 52, gap: 16, bendGap: 6, bendHeight: 4};
const MOST_NODES = 250;

// The nodes that are reached from `root`, nearest first, and how many more there are.
function reachedFrom(root, neighbours) {
  const nodes = new Set([root]);
  for (const node of nodes) for (const next of neighbours(node)) nodes.add(next); // grows while it is walked
  return [...nodes];
}

function renderLineage(view) {
  const root = byPath.get(state.root) ?? byPath.get(state.selected);
  if (!root) {
    view.replaceChildren(make("p", {class: "empty"}, "Select an artifact, and its lineage is drawn here."));
    return;
  }
  const up = reachedFrom(root, (node) => node.upstreams.values());
  const all = state.below ? [...new Set([...up, ...reachedFrom(root, (node) => node.dependents)])] : up;
  const nodes = all.slice(0, MOST_NODES);
  const left = all.length - nodes.length;
  const outdated = nodes.filter((node) => node.outdated).length;
  const remarks = [
    `${amount(nodes.length, "artifact")}`,
    outdated ? `${outdated} outdated` : "",
    left ? `${left.toLocaleString("en")} more are not drawn` : "",
  ];
  const picture = drawGraph(root, nodes);
  view.replaceChildren(
    make(
      "div",
      {class: "stage"},
      lineageBar(root, remarks.filter(Boolean).join("; ")),
      make("div", {class: "scroll", tabindex: -1}, picture)
    )
  );
  view.querySelector(".node.root").scrollIntoView({block: "nearest", inline: "end"});
}

function lineageBar(root, remark) {
  const below = make("input", {type: "checkbox", change: () => go({below: below.checked})});
  below.checked = state.below;
  const selected = byPath.get(state.selected);
  return make(
    "div",
    {class: "bar"},
    make(
      "span",
      {},
      "Lineage of ",
      make("b", {}, printable(root.name, 60)),
      " ",
      make("span", {class: "mono pale"}, root.short),
      `: ${remark}`
    ),
    make("label", {}, below, "and what is made from it"),
    selected && selected !== root
      ? make(
          "button",
          {type: "button", click: () => go({root: selected.id})},
          `Start from ${printable(selected.name, 40)} ${selected.short}`
        )
      : null
  );
}

function drawGraph(root, nodes) {
  const chosen = new Set(nodes);
  const edges = nodes.flatMap((node) =>
    [...new Set(node.upstreams.values())]
      .filter((upstream) => chosen.has(upstream) && upstream !== node)
      .map((upstream) => [upstream, node])
  );
  const {places, chains} = layered(nodes, edges, BOX);
  const all = [...places.values(), ...chains.flatMap(({chain}) => chain)];
  const top = Math.min(...all.map((place) => place.y - place.tall / 2)) - 16;
  const bottom = Math.max(...all.map((place) => place.y + place.tall / 2)) + 16;
  const width = (Math.max(...all.map((place) => place.layer)) + 1) * (BOX.width + BOX.between) - BOX.between + 32;
  const left = (place) => place.layer * (BOX.width + BOX.between) + 16;
  const picture = draw(
    "svg",
    {
      class: "lineage",
      viewBox: `0 ${top} ${width} ${bottom - top}`,
      width,
      height: bottom - top,
      role: "group",
      "aria-label": `Lineage of ${printable(root.name, 60)} ${root.short}, what it is made from at the left`,
    },
    chains.map((chain) => drawEdge(chain, left)),
    [...places.values()].map((place) => drawNode(place, left(place), root))
  );
  picture.style.minWidth = `${Math.min(width, Math.max(width * 0.58, 300))}px`;
  picture.style.maxWidth = `${width}px`;
  return picture;
}

function drawEdge({edge: [from, to], chain}, left) {
  const roles = [...to.upstreams].filter(([, upstream]) => upstream === from).map(([role]) => role);
  const again = roles.some((role) => to.remade.has(role));
  let path = "";
  chain.forEach((place, index) => {
    const [start, end] = [left(place), left(place) + BOX.width];
    if (index === 0) path += `M${end},${place.y}`;
    else {
      const [x, y] = [start - BOX.between, chain[index - 1].y];
      path += `C${x + BOX.between / 2},${y} ${start - BOX.between / 2},${place.y} ${start},${place.y}`;
      if (index < chain.length - 1) path += `L${end},${place.y}`;
    }
  });
  const names = roles.map((role) => printable(role, 60)).join(", ");
  const remark = again ? ", made again with other content since it was used" : "";
  const text = `${names}: ${from.name} → ${to.name}${remark}`;
  const parts = [draw("path", {class: `edge${again ? " again" : ""}`, d: path})];
  if (again)
    parts.push(
      draw("text", {class: "edge-mark", x: left(chain.at(-1)) - 6, y: chain.at(-1).y - 6, "text-anchor": "end"}, "⟳")
    );
  return draw("g", {}, draw("title", {}, text), parts);
}

function drawNode(place, x, root) {
  const artifact = place.item;
  const y = place.y - BOX.height / 2;
  const classes = [
    "node",
    kindOf(artifact.state),
    artifact.outdated ? "outdated" : "",
    artifact === root ? "root" : "",
    artifact.id === state.selected ? "selected" : "",
  ];
  const marks = [
    artifact.state === "whole" ? "" : (MARKS[artifact.state] ?? artifact.state),
    artifact.outdated ? "⟳ outdated" : "",
  ]
    .filter(Boolean)
    .join(" ");
  const params = [...artifact.params]
    .map(([name, value]) => `${name}=${printable(shownShort(value, false), 12)}`)
    .join(", ");
  const chosen = () => select(artifact, {push: true});
  return draw(
    "g",
    {
      class: classes.filter(Boolean).join(" "),
      role: "button",
      tabindex: 0,
      "aria-label": `${printable(artifact.name, 60)} ${artifact.short} ${marks}`,
      click: chosen,
      "data-id": artifact.id,
      keydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          chosen();
        }
      },
    },
    draw("title", {}, nodeTitle(artifact)),
    draw("rect", {x, y, width: BOX.width, height: BOX.height, rx: 6}),
    draw("text", {class: "name", x: x + 10, y: y + 17}, printable(artifact.name, 22)),
    draw(
      "text",
      {class: "pale", x: x + 10, y: y + 32},
      artifact.short,
      marks ? draw("tspan", {class: "marks"}, `  ${marks}`) : null
    ),
    draw("text", {class: "pale", x: x + 10, y: y + 46}, printable(params || artifact.get("summary") || "", 26))
  );
}

function nodeTitle(artifact) {
  const lines = [
    `${artifact.name} ${artifact.key}`,
    artifact.get("problem"),
    artifact.outdated && outdatedText(artifact),
    artifact.get("at") && `made ${shortTime(artifact.get("at"))} UTC`,
    ...[...artifact.params].slice(0, 30).map(([name, value]) => `${name} = ${printable(textOf(value), 100)}`),
  ];
  return lines
    .filter(Boolean)
    .map((line) => printable(line, 300))
    .join(" · ");
}
