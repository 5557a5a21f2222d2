// Places for the nodes of a graph, in layers from left to right: what others are made from stands left of them.
//
// The usual three steps: a layer for each node (longest path), an order in each layer that avoids crossings
// (barycentres), and heights that keep edges straight. An edge over several layers gets a bend in each of them, so that
// it does not run through boxes.

// Bends of edges may run close to each other; boxes are apart.
function between(one, other, {gap, bendGap, height}) {
  return (one.tall + other.tall) / 2 + (one.tall < height && other.tall < height ? bendGap : gap);
}

// nodes: any values; edges: [from, to] pairs of them. Return node -> {layer, y}, and for each edge its points.
function layered(nodes, edges, sizes) {
  const {height, bendHeight} = sizes;
  const layerOf = layersOf(nodes, edges);
  const layers = [];
  const places = new Map();
  const put = (item, layer, tall) => {
    const place = {item, layer, tall, before: [], after: [], y: 0};
    (layers[layer] ??= []).push(place);
    return place;
  };
  for (const node of nodes) places.set(node, put(node, layerOf.get(node), height));
  const chains = edges
    .filter(([from, to]) => layerOf.get(from) < layerOf.get(to))
    .map((edge) => {
      const chain = [places.get(edge[0])];
      for (let layer = layerOf.get(edge[0]) + 1; layer < layerOf.get(edge[1]); layer++)
        chain.push(put(edge, layer, bendHeight));
      chain.push(places.get(edge[1]));
      for (let step = 1; step < chain.length; step++) {
        chain[step - 1].after.push(chain[step]);
        chain[step].before.push(chain[step - 1]);
      }
      return {edge, chain};
    });
  for (let sweep = 0; sweep < 8; sweep++) order(layers, sweep % 2 ? "after" : "before");
  for (const layer of layers) stack(layer, sizes);
  for (let sweep = 0; sweep < 10; sweep++) straighten(layers, sweep % 2 ? "after" : "before", sizes);
  return {layers, places, chains};
}

// The longest path from the roots; then as far right as the nearest dependent allows, so that edges are short.
function layersOf(nodes, edges) {
  const [before, after] = [new Map(nodes.map((node) => [node, []])), new Map(nodes.map((node) => [node, []]))];
  for (const [from, to] of edges) {
    after.get(from).push(to);
    before.get(to).push(from);
  }
  const waiting = new Map(nodes.map((node) => [node, before.get(node).length]));
  const queue = nodes.filter((node) => !waiting.get(node));
  const layer = new Map();
  for (const node of queue) {
    // grows while it is walked
    layer.set(node, Math.max(-1, ...before.get(node).map((up) => layer.get(up))) + 1);
    for (const next of after.get(node)) {
      waiting.set(next, waiting.get(next) - 1);
      if (!waiting.get(next)) queue.push(next);
    }
  }
  for (const node of nodes) if (!layer.has(node)) layer.set(node, 0); // in a circle: no store that is whole has one
  for (const node of queue.reverse()) {
    if (after.get(node).length)
      layer.set(node, Math.max(layer.get(node), Math.min(...after.get(node).map((next) => layer.get(next))) - 1));
  }
  return layer;
}

function order(layers, side) {
  for (const layer of side === "before" ? layers : [...layers].reverse()) {
    const wish = new Map(
      layer.map((place, index) => [
        place,
        place[side].length ? mean(place[side].map((other) => other.rank ?? 0)) : index,
      ])
    );
    layer.sort((one, other) => wish.get(one) - wish.get(other));
    layer.forEach((place, index) => {
      place.rank = index;
    });
  }
}

function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

function stack(layer, sizes) {
  layer.forEach((place, index) => {
    place.y = index ? layer[index - 1].y + between(layer[index - 1], place, sizes) : 0;
  });
}

// Move each place towards its neighbours. Pushed down from above, and up from below, nothing overlaps; nor does it in
// the mean of both.
function straighten(layers, side, sizes) {
  for (const layer of side === "before" ? layers : [...layers].reverse()) {
    const wish = layer.map((place) => (place[side].length ? mean(place[side].map((other) => other.y)) : place.y));
    const room = (index) => between(layer[index], layer[index + 1], sizes);
    const [down, up] = [[...wish], [...wish]];
    for (let index = 1; index < layer.length; index++)
      down[index] = Math.max(wish[index], down[index - 1] + room(index - 1));
    for (let index = layer.length - 2; index >= 0; index--)
      up[index] = Math.min(wish[index], up[index + 1] - room(index));
    layer.forEach((place, index) => {
      place.y = (down[index] + up[index]) / 2;
    });
  }
}
