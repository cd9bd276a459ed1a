// What differs between two pictures of one task: the pinned prediction and the present one, pixel by pixel.

import { rampColours } from '../kinds/base.js';

const WRONG = [232, 88, 12, 255]; // as where a class is wrong
const FILLED = 190; // how opaque the inside of a changed region is
const LEVELS = 255; // of a ramp, as the server draws it
const SIGNED = ['#2166AC', '#F2F2F2', '#B2182B']; // less, the same, more

/** The colours of a ramp of hex stops, as the server computes them, as numbers. */
const levels = (stops) => rampColours(stops, LEVELS).map((colour) => colour.map(Math.round));

const packed = ([r, g, b]) => (r << 16) | (g << 8) | b;

/** The place of every pixel on a ramp, 0 to 1; NaN off it (unknown, or a picture that lost colours on the way). */
function places(data, ramp) {
  const place = new Map(levels(ramp).map((colour, i) => [packed(colour), i / (LEVELS - 1)]));
  return (i) => place.get(packed([data[i], data[i + 1], data[i + 2]])) ?? NaN;
}

/** By how much two pictures in the colours of a ramp differ at a pixel, with its sign, in the unit of the ramp. */
function alongRamp(read) {
  const extent = read.range[1] - read.range[0];
  const known = new Map();
  const placesOf = (data) => known.get(data) ?? known.set(data, places(data, read.ramp)).get(data);
  return (a, b, i) => extent * (placesOf(a)(i) - placesOf(b)(i));
}

/** What measures how much two predictions differ at a pixel; undefined where they are only the same or not. */
export const amountOf = (view, read) => (read.error ? view.amount ?? (read.ramp && alongRamp) : undefined);

/** The scale of a change: of two signs where amounts have one, that of errors elsewhere. */
export function scaleOf(view, read) {
  if (view.amount || !read.error) return read.error ?? read;
  const most = read.error.range[1];
  return { ramp: SIGNED, range: [-most, most], unit: read.error.unit };
}

/**
 * The picture of the change and its mean: a share of the pixels where those are only right or wrong, otherwise in the
 * unit of the error. view: what the browser knows of the kind; now, before: ImageData of one size; read: its legend.
 */
export function change(view, now, before, read) {
  const image = new ImageData(now.width, now.height);
  const [a, b] = [now.data, before.data];
  const amount = amountOf(view, read);
  const [sum, count] = amount ? amounts(amount(read), a, b, scaleOf(view, read), image.data) : marks(a, b, image.data, now.width);
  return { image, mean: count ? sum / count : 0 };
}

/** What is another class now, in its new colour, with a line around every region that changed. */
function marks(a, b, out, width) {
  const changed = (i) => i >= 0 && i < a.length && !(a[i] === b[i] && a[i + 1] === b[i + 1] && a[i + 2] === b[i + 2]);
  let count = 0;
  for (let i = 0; i < a.length; i += 4) {
    if (!changed(i)) continue;
    count += 1;
    const inside = [i - 4, i + 4, i - 4 * width, i + 4 * width].every(changed);
    out.set(inside ? [a[i], a[i + 1], a[i + 2], FILLED] : WRONG, i);
  }
  return [count, a.length / 4];
}

function amounts(amount, a, b, scale, out) {
  const colours = levels(scale.ramp);
  const [least, most] = scale.range;
  let [sum, count] = [0, 0];
  for (let i = 0; i < a.length; i += 4) {
    const size = amount(a, b, i);
    if (!Number.isFinite(size)) {
      out.set([128, 128, 128, 255], i);
      continue;
    }
    sum += Math.abs(size);
    count += 1;
    const place = Math.round(((LEVELS - 1) * (size - least)) / (most - least));
    out.set([...colours[Math.max(0, Math.min(LEVELS - 1, place))], 255], i);
  }
  return [sum, count];
}
