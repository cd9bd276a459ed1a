// What differs between two pictures of one task: the pinned prediction and the present one, pixel by pixel.

import { rampColours } from '../kinds/base.js';

const WRONG = [232, 88, 12, 255]; // as where a class is wrong
const LEVELS = 255; // of a ramp, as the server draws it

/** The colours of a ramp of hex stops, as the server computes them, as numbers. */
const levels = (stops) => rampColours(stops, LEVELS).map((colour) => colour.map(Math.round));

const packed = ([r, g, b]) => (r << 16) | (g << 8) | b;

/** The place of every pixel on a ramp, 0 to 1; NaN off it (unknown, or a picture that lost colours on the way). */
function places(data, ramp) {
  const place = new Map(levels(ramp).map((colour, i) => [packed(colour), i / (LEVELS - 1)]));
  return (i) => place.get(packed([data[i], data[i + 1], data[i + 2]])) ?? NaN;
}

/** How much two pictures in the colours of a ramp differ at a pixel, in the unit of the ramp. */
function alongRamp(read) {
  const extent = read.range[1] - read.range[0];
  const known = new Map();
  const placesOf = (data) => known.get(data) ?? known.set(data, places(data, read.ramp)).get(data);
  return (a, b, i) => extent * Math.abs(placesOf(a)(i) - placesOf(b)(i));
}

/** What measures how much two predictions differ at a pixel; undefined where they are only the same or not. */
export const amountOf = (view, read) => (read.error ? view.amount ?? (read.ramp && alongRamp) : undefined);

/**
 * The picture of the change and its mean: a share of the pixels where those are only right or wrong, otherwise in the
 * unit of the error. view: what the browser knows of the kind; now, before: ImageData of one size; read: its legend.
 */
export function change(view, now, before, read) {
  const image = new ImageData(now.width, now.height);
  const [a, b] = [now.data, before.data];
  const amount = amountOf(view, read);
  const [sum, count] = amount ? amounts(amount(read), a, b, read, image.data) : marks(a, b, image.data);
  return { image, mean: count ? sum / count : 0 };
}

function marks(a, b, out) {
  let changed = 0;
  for (let i = 0; i < a.length; i += 4) {
    if (a[i] === b[i] && a[i + 1] === b[i + 1] && a[i + 2] === b[i + 2]) continue;
    changed += 1;
    out.set(WRONG, i);
  }
  return [changed, a.length / 4];
}

function amounts(amount, a, b, read, out) {
  const colours = levels(read.error.ramp);
  const [, most] = read.error.range;
  let [sum, count] = [0, 0];
  for (let i = 0; i < a.length; i += 4) {
    const size = amount(a, b, i);
    if (!Number.isFinite(size)) {
      out.set([128, 128, 128, 255], i);
      continue;
    }
    sum += size;
    count += 1;
    out.set([...colours[Math.min(LEVELS - 1, Math.round(((LEVELS - 1) * size) / most))], 255], i);
  }
  return [sum, count];
}
