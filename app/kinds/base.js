// What a browser knows of kinds of tasks beyond their legends. A view's script imports `views` from './base.js' and adds
// itself under the kind that the view is filed under; every part is optional:
//
//   amount(read)(a, b, i)          how much two pictures (RGBA) differ at pixel i, in the unit of read.error
//   describe([r, g, b, a], read)   a pixel of a prediction or ground truth in words
//   paint(task, data, pixels, n)   for the one-file page: an output [C, n] drawn into pixels (RGBA)
//   size(task, dims)               its height and width, where they are not the last two of dims
//   show(node, values, read)       what is told of it, drawn in a form of the kind's own; false where it has none
//   values(task, data)             for the one-file page: an output in the form in which the server tells it
//   panel(host)                    the one panel of all tasks of a joint kind: an object with
//     node, task, showsInput       its element, the first of the tasks, and whether the input is in it
//     setScene(_, truth, legend, { preference, pinned })   another input, with what the view begins with
//     setValues(values, λ), setPinned(values), pin(λ or null), showMetrics(onSplit, here, kept)
//     moved(), rested(λ)           optional: while λ moves, and once it has come to rest
//     setAside(purpose, values)    optional: answers to what the panel asked for by host.ask(λ, purpose)
//     went({ text, done, … }, λ)   optional: a part of what goes on, after host.stream(λ, seed); host.stop() ends it
//   host has task, tasks (of the kind), all (in the order of λ), seed, seeded(seed) for a new one, which the address
//   keeps, element, withUnit and formatAll beside these.

export const views = {};
const plain = {};

export const viewOf = (task) => views[task.view] ?? plain;

export const rgbOf = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

/** `count` colours of a ramp of hex stops, linear between them, as numbers. */
export function rampColours(stops, count = 255) {
  const anchors = stops.map(rgbOf);
  return Array.from({ length: count }, (_, i) => {
    const at = (i * (anchors.length - 1)) / (count - 1);
    const low = Math.min(anchors.length - 2, Math.floor(at));
    return anchors[low].map((v, c) => v + (at - low) * (anchors[low + 1][c] - v));
  });
}
