// Arithmetic on preferences: arrays of T numbers. Nothing here touches the page.

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export const centre = (count) => Array(count).fill(1 / count);

export const corner = (count, index) => Array.from({ length: count }, (_, t) => (t === index ? 1 : 0));

/** Weights below zero become zero, the rest is scaled to sum to one. */
export function project(preference) {
  const positive = preference.map((value) => Math.max(0, value));
  const sum = positive.reduce((a, b) => a + b, 0);
  return sum > 1e-9 ? positive.map((value) => value / sum) : centre(preference.length);
}

const DECIMALS = 10_000;

/** λ in the four decimals that the server, the address and all files have; a sum of one stays one. As Python's snap(). */
export function rounded(preference) {
  const counts = preference.map((value) => Math.floor(value * DECIMALS + 0.5));
  const missing = DECIMALS - counts.reduce((a, b) => a + b, 0);
  if (missing && Math.abs(preference.reduce((a, b) => a + b, 0) - 1) < 1e-3) {
    const by = Math.sign(missing);
    const off = (t) => by * (counts[t] - preference[t] * DECIMALS);
    const order = counts.map((_, t) => t).sort((s, t) => off(s) - off(t));
    order.slice(0, Math.abs(missing)).forEach((t) => (counts[t] += by));
  }
  return counts.map((count) => count / DECIMALS);
}

/** Set one weight; the others keep their proportions and the sum stays one. */
export function setWeight(preference, index, value) {
  if (preference.length === 1) return [1];
  const weight = clamp(value, 0, 1);
  const rest = preference.reduce((sum, v, t) => (t === index ? sum : sum + Math.max(0, v)), 0);
  return preference.map((v, t) => {
    if (t === index) return weight;
    return rest > 1e-9 ? (Math.max(0, v) * (1 - weight)) / rest : (1 - weight) / (preference.length - 1);
  });
}

/** Barycentric coordinates of a point in the triangle of three vertices [x, y]. */
export function barycentric([x, y], [a, b, c]) {
  const d = (b[1] - c[1]) * (a[0] - c[0]) + (c[0] - b[0]) * (a[1] - c[1]);
  const p = ((b[1] - c[1]) * (x - c[0]) + (c[0] - b[0]) * (y - c[1])) / d;
  const q = ((c[1] - a[1]) * (x - c[0]) + (a[0] - c[0]) * (y - c[1])) / d;
  return [p, q, 1 - p - q];
}

/** Colours of three tasks, mixed by λ where points of a front are coloured. */
export const TINTS = [[204, 51, 17], [0, 153, 136], [0, 68, 187]];

export const mixed = (preference) =>
  `rgb(${[0, 1, 2].map((c) => Math.round(preference.reduce((sum, w, t) => sum + w * TINTS[t][c], 0))).join(',')})`;

export const distance = (a, b) => Math.hypot(...a.map((v, t) => v - b[t]));

/** Two decimals, three where T is so large that two say nothing. */
export const format = (value, count = 2) => value.toFixed(count > 10 ? 3 : 2);

export const formatAll = (preference) => `(${preference.map((v) => format(v, preference.length)).join(', ')})`;

/** The weights with which the corners (2 or 3 of them, [T] each) of a segment or triangle give a point [T]. */
function weightsIn(corners, point) {
  if (corners.length === 2) {
    const share = (point[1] - corners[0][1]) / (corners[1][1] - corners[0][1] || 1);
    return [1 - share, share];
  }
  return barycentric(point, corners);
}

/** Where λ stands on pad and sliders: at itself, or where equal moves give equal changes along the front. */
export class Scale {
  /** even: {preferences, places, cells}, corresponding points of the simplex and the cells between them, or null. */
  constructor(even) {
    this.even = even;
    this.on = false;
  }

  toPlace(preference) {
    return this.on ? this.map(this.even.preferences, this.even.places, preference) : preference;
  }

  toPreference(place) {
    return this.on ? this.map(this.even.places, this.even.preferences, place) : place;
  }

  /** Linear inside the cell that holds the point, or comes nearest to holding it. */
  map(from, to, point) {
    let best = { least: -Infinity };
    for (const cell of this.even.cells) {
      const weights = weightsIn(cell.map((k) => from[k]), point);
      const least = Math.min(...weights);
      if (least > best.least) best = { least, weights, cell };
      if (least >= 0) break;
    }
    const inside = project(best.weights);
    return point.map((_, t) => best.cell.reduce((sum, k, i) => sum + inside[i] * to[k][t], 0));
  }
}

const binomial = (n, k) => {
  let result = 1;
  for (let i = 1; i <= k; i += 1) result = (result * (n - k + i)) / i;
  return Math.round(result);
};

/** Weights [[k, w], …] of the evaluated preferences around λ: linear on lattices of T ≤ 3, by distance otherwise. */
export class Interpolator {
  constructor(preferences) {
    this.preferences = preferences;
    this.count = preferences[0].length;
    let parts = 1;
    while (binomial(parts + this.count - 1, this.count - 1) < preferences.length) parts += 1;
    const counted = binomial(parts + this.count - 1, this.count - 1) === preferences.length;
    const even = preferences.every((p) => p.every((v) => Math.abs(v * parts - Math.round(v * parts)) < 1e-3));
    this.parts = counted && even && (this.count === 2 || this.count === 3) ? parts : 0;
    this.place = new Map(preferences.map((p, k) => [this.key(p.map((v) => v * parts)), k]));
  }

  key(scaled) {
    return scaled.slice(0, -1).map(Math.round).join(',');
  }

  weights(preference) {
    if (this.count === 1) return [[0, 1]];
    return this.parts ? this.inCell(project(preference)) : this.byDistance(preference);
  }

  inCell(preference) {
    const scaled = preference.slice(0, -1).map((v) => v * this.parts);
    const low = scaled.map((v) => Math.min(this.parts, Math.floor(v + 1e-9)));
    const part = scaled.map((v, t) => clamp(v - low[t], 0, 1));
    let corners;
    if (this.count === 2) {
      corners = [[low, 1 - part[0]], [[low[0] + 1], part[0]]];
    } else if (part[0] + part[1] <= 1) {
      corners = [[low, 1 - part[0] - part[1]], [[low[0] + 1, low[1]], part[0]], [[low[0], low[1] + 1], part[1]]];
    } else {
      corners = [
        [[low[0] + 1, low[1] + 1], part[0] + part[1] - 1],
        [[low[0] + 1, low[1]], 1 - part[1]],
        [[low[0], low[1] + 1], 1 - part[0]],
      ];
    }
    return corners.filter(([, w]) => w > 1e-9).map(([at, w]) => [this.place.get(at.join(',')), w]);
  }

  byDistance(preference) {
    const raw = this.preferences.map((p) => 1 / (distance(p, preference) ** 4 + 1e-12));
    const sum = raw.reduce((a, b) => a + b, 0);
    return raw.map((w, k) => [k, w / sum]).filter(([, w]) => w > 1e-4);
  }

  /** The value of a column [K] at λ; null where the column has gaps. */
  value(column, preference) {
    let value = 0;
    for (const [k, w] of this.weights(preference)) {
      if (column[k] == null) return null;
      value += w * column[k];
    }
    return value;
  }
}
