// What a browser knows of kinds of tasks beyond their legends. A view's script imports `views` from './base.js' and adds
// itself under the kind that the view is filed under; every part is optional:
//
//   amount(read)(a, b, i)          how much two pictures (RGBA) differ at pixel i, in the unit of read.error
//   describe([r, g, b, a], read)   a pixel of a prediction or ground truth in words
//   paint(task, data, pixels, n)   for the one-file page: an output [C, n] drawn into pixels (RGBA)
//   size(task, dims)               its height and width, where they are not the last two of dims
//   show(node, values, read)       what is told of it, drawn in a form of the kind's own; false where it has none
//   compare(node, values, before)  what is told, written into a node, with what differs from `before` (or null) marked
//   values(task, data)             for the one-file page: an output in the form in which the server tells it
//   panel(host)                    the one panel of all tasks of a joint kind: an object with
//     node, task, showsInput       its element, the first of the tasks, and whether the input is in it
//     setScene(_, truth, legend, { preference, pinned, against })   another input, with what the view begins with
//     setValues(values, λ), setPinned(values), pin(λ or null, name), showMetrics(onSplit, here, kept)
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

/** The words of a text, each with the space before it, and which of them another text does not have at their place. */
export function changedWords(text, before) {
  const [now, then] = [text, before].map((words) => words.match(/\s*\S+/g) ?? []);
  const longest = Array.from({ length: now.length + 1 }, () => new Uint16Array(then.length + 1));
  for (let i = now.length - 1; i >= 0; i -= 1) {
    for (let j = then.length - 1; j >= 0; j -= 1) {
      const same = now[i].trim() === then[j].trim();
      longest[i][j] = same ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  let j = 0;
  return now.map((word, i) => {
    while (j < then.length && longest[i][j + 1] === longest[i][j] && word.trim() !== then[j].trim()) j += 1;
    const kept = j < then.length && word.trim() === then[j].trim() && longest[i][j] === longest[i + 1][j + 1] + 1;
    if (kept) j += 1;
    return [word, !kept];
  });
}

/** Whether a text from one place to another (without the space around) has a word that another text does not have there. */
export function changedPlaces(text, before) {
  const places = [];
  let at = 0;
  for (const [word, changed] of changedWords(text, before)) {
    const end = at + word.length;
    if (changed) places.push([end - word.trimStart().length, end]);
    at = end;
  }
  return (from, to) => places.some(([start, end]) => from < end && to > start);
}
