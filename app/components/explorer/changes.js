// What differs between two pictures of one task: the pinned prediction and the present one, pixel by pixel.

const WRONG = [232, 88, 12, 255]; // as where a class is wrong
const LEVELS = 255; // of a ramp, as the server draws it

const rgbOf = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

/** The colours of a ramp of hex stops, as the server computes them, as numbers. */
function levels(stops) {
  const anchors = stops.map(rgbOf);
  return Array.from({ length: LEVELS }, (_, i) => {
    const at = (i * (anchors.length - 1)) / (LEVELS - 1);
    const low = Math.min(anchors.length - 2, Math.floor(at));
    return anchors[low].map((v, c) => Math.round(v + (at - low) * (anchors[low + 1][c] - v)));
  });
}

const packed = ([r, g, b]) => (r << 16) | (g << 8) | b;

/** The place of every pixel on a ramp, 0 to 1; NaN off it (unknown, or a picture that lost colours on the way). */
function places(data, ramp) {
  const place = new Map(levels(ramp).map((colour, i) => [packed(colour), i / (LEVELS - 1)]));
  return (i) => place.get(packed([data[i], data[i + 1], data[i + 2]])) ?? NaN;
}

/** Angle in degrees between the unit vectors that two pixels of normals stand for. */
function angle(a, b, i) {
  const vectors = [a, b].map((data) => [0, 1, 2].map((c) => data[i + c] / 127.5 - 1));
  const [p, q] = vectors.map((v) => Math.hypot(...v));
  const dot = vectors[0].reduce((sum, v, c) => sum + v * vectors[1][c], 0);
  return (Math.acos(Math.min(1, Math.max(-1, dot / (p * q || 1)))) * 180) / Math.PI;
}

/**
 * The picture of the change and its mean: a share of the pixels for classes, otherwise in the unit of the error.
 * now, before: ImageData of one size; read: how the task's colours are read.
 */
export function change(kind, now, before, read) {
  const image = new ImageData(now.width, now.height);
  const [a, b] = [now.data, before.data];
  const [sum, count] = kind === 'segmentation' ? classes(a, b, image.data) : amounts(kind, a, b, read, image.data);
  return { image, mean: count ? sum / count : 0 };
}

function classes(a, b, out) {
  let changed = 0;
  for (let i = 0; i < a.length; i += 4) {
    if (a[i] === b[i] && a[i + 1] === b[i + 1] && a[i + 2] === b[i + 2]) continue;
    changed += 1;
    out.set(WRONG, i);
  }
  return [changed, a.length / 4];
}

function amounts(kind, a, b, read, out) {
  const colours = levels(read.error.ramp);
  const [, most] = read.error.range;
  const [placeA, placeB] = kind === 'depth' ? [places(a, read.ramp), places(b, read.ramp)] : [];
  const extent = kind === 'depth' ? read.range[1] - read.range[0] : 0;
  let [sum, count] = [0, 0];
  for (let i = 0; i < a.length; i += 4) {
    const amount = kind === 'depth' ? extent * Math.abs(placeA(i) - placeB(i)) : angle(a, b, i);
    if (!Number.isFinite(amount)) {
      out.set([128, 128, 128, 255], i);
      continue;
    }
    sum += amount;
    count += 1;
    out.set([...colours[Math.min(LEVELS - 1, Math.round(((LEVELS - 1) * amount) / most))], 255], i);
  }
  return [sum, count];
}
