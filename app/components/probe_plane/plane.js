// One heat map over a plane of preferences: drag it, click it, or use the arrow keys.

import { draggable } from '../explorer/drag.js';
import { svg } from '../explorer/pad.js';
import { element } from '../explorer/panels.js';
import { withUnit } from '../explorer/numbers.js';
import { clamp } from '../explorer/simplex.js';

const SIZE = 260;
const PIXELS = 1.5; // canvas pixels per unit of the drawing
const STEP = 0.05;
const BIG_STEP = 0.5;
const LETTER = 6; // of a name, about, in units of the drawing

/** Where (u, v) lies on the drawing, and back. Two tasks: a square; three: a hexagon around an upright triangle. */
export class Geometry {
  constructor({ low, high, rest, second, count }) {
    Object.assign(this, { low, high, rest, line: second === null, count });
    // The triangle's corners: first on top, second at the lower left, rest at the lower right.
    const across = rest === null ? [[1, 0], [0, -1]] : [[-0.5, -Math.sqrt(3) / 2], [-1, 0]];
    const corners = this.outline();
    const place = ([u, v]) => [u * across[0][0] + v * across[1][0], u * across[0][1] + v * across[1][1]];
    const [xs, ys] = [0, 1].map((axis) => corners.map((c) => place(c)[axis]));
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    const extent = Math.max(Math.max(...xs) - left, Math.max(...ys) - top) || 1;
    // Room for ticks and names at the left and below; the hexagon has none.
    this.margin = rest === null ? { left: this.line ? 12 : 32, right: 10, top: 8, bottom: 34 } : { left: 6, right: 6, top: 6, bottom: 6 };
    const room = SIZE - this.margin.left - this.margin.right;
    this.scale = room / extent;
    this.across = across;
    this.width = SIZE;
    this.height = this.line ? 84 : (Math.max(...ys) - top) * this.scale + this.margin.top + this.margin.bottom;
    this.origin = [this.margin.left - left * this.scale + (room - (Math.max(...xs) - left) * this.scale) / 2, this.line ? 36 : this.margin.top - top * this.scale];
    const [[a, b], [c, d]] = across;
    this.determinant = a * d - b * c;
  }

  /** Corners (u, v) of the part that is shown. */
  outline() {
    const { low, high } = this;
    if (this.line) return [[low, 0], [high, 0]];
    if (this.rest === null) return [[low, low], [high, low], [high, high], [low, high]];
    const corners = [];
    for (const u of [low, high]) corners.push([u, low], [u, 1 - u - low], [u, 1 - u - high], [u, high]);
    for (const v of [low, high]) corners.push([1 - v - low, v], [1 - v - high, v]);
    const inside = corners.filter(([u, v]) => this.within(u, v));
    const middle = [1 / 3, 1 / 3];
    const unique = [...new Map(inside.map((p) => [p.map((x) => x.toFixed(6)).join(), p])).values()];
    return unique.sort((p, q) => Math.atan2(p[1] - middle[1], p[0] - middle[0]) - Math.atan2(q[1] - middle[1], q[0] - middle[0]));
  }

  within(u, v, room = 1e-6) {
    const values = this.rest === null ? (this.line ? [u] : [u, v]) : [u, v, 1 - u - v];
    return values.every((x) => x >= this.low - room && x <= this.high + room);
  }

  toDrawing([u, v]) {
    const [[a, b], [c, d]] = this.across;
    return [this.origin[0] + this.scale * (u * a + v * c), this.origin[1] + this.scale * (u * b + v * d)];
  }

  toPlane([x, y]) {
    const [[a, b], [c, d]] = this.across;
    const [p, q] = [(x - this.origin[0]) / this.scale, (y - this.origin[1]) / this.scale];
    const u = (p * d - q * c) / this.determinant;
    return this.line ? [u, 0] : [u, (q * a - p * b) / this.determinant];
  }

  /** The nearest place that is shown, near enough. */
  keep([u, v]) {
    let [a, b] = [clamp(u, this.low, this.high), this.line ? 0 : clamp(v, this.low, this.high)];
    if (this.rest !== null) {
      const rest = 1 - a - b;
      const over = rest - clamp(rest, this.low, this.high);
      [a, b] = [clamp(a + over / 2, this.low, this.high), clamp(b + over / 2, this.low, this.high)];
    }
    return [a, b];
  }

  /** The simplex, or the part of it that lies in the plane. */
  simplex() {
    if (this.line) return [[1, 0]];
    return this.rest === null ? [[1, 0], [0, 1]] : [[1, 0], [0, 1], [0, 0]];
  }
}

/** Colour table [256 × 3] of a ramp of hex colours. */
export function table(ramp) {
  const stops = ramp.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, k) => {
    const at = (k / 255) * (stops.length - 1);
    const i = Math.min(stops.length - 2, Math.floor(at));
    return stops[i].map((v, c) => v + (at - i) * (stops[i + 1][c] - v));
  });
}

/** The value at (u, v) of a grid [V][U], bilinear; null next to an unknown one. */
export function lookUp(values, low, high, u, v) {
  const across = values[0].length - 1;
  const up = values.length - 1;
  const x = clamp(((u - low) / (high - low)) * across, 0, across);
  const y = up ? clamp(((v - low) / (high - low)) * up, 0, up) : 0;
  const [i, j] = [Math.min(Math.floor(x + 1e-9), Math.max(0, across - 1)), Math.min(Math.floor(y + 1e-9), Math.max(0, up - 1))];
  let [sum, known] = [0, 0];
  for (const [di, wi] of [[0, i + 1 - x], [1, x - i]]) {
    for (const [dj, wj] of up ? [[0, j + 1 - y], [1, y - j]] : [[0, 1]]) {
      const value = values[j + dj]?.[i + di];
      if (value != null && wi * wj > 1e-9) {
        sum += wi * wj * value;
        known += wi * wj;
      }
    }
  }
  // On the slanted rim of the hexagon one corner of the cell may be outside; three are enough.
  return known > 0.45 ? sum / known : null;
}

/** How far a figure may be off because of the few items it is measured on: half of a 95 % interval. */
function uncertain({ uncertainty, unit }) {
  if (uncertainty == null) return '';
  return unit === '%' ? `± ${(100 * uncertainty).toFixed(uncertainty < 0.095 ? 1 : 0)} ` : `± ${Number(uncertainty.toPrecision(2))} `;
}

export class PlaneMap {
  /** titles: of the plane's first, second and rest task; change((u, v), time) while moving, commit() when done; items: how many it is measured on. */
  constructor(task, geometry, titles, { change, commit, items }) {
    Object.assign(this, { task, geometry, titles, change, commit, items, at: [0, 0] });
    this.number = element('span');
    this.canvas = element('canvas', { width: geometry.width * PIXELS, height: geometry.height * PIXELS, 'aria-hidden': true });
    this.stage = element('div', { className: 'q-stage' }, this.canvas);
    this.drawing = svg('svg', { viewBox: `0 0 ${geometry.width} ${geometry.height}`, tabindex: 0, role: 'application' });
    this.drawing.setAttribute('aria-roledescription', 'map of preferences');
    this.stage.append(this.drawing);
    this.value = element('div', { className: 'q-value' });
    this.legend = element('div', { className: 'p-legend' });
    const head = element('header', {}, element('h3', { textContent: task.title }), this.number);
    this.node = element('section', { className: 'p-card q-map', 'aria-label': `Map of ${task.title}` }, head, this.stage, this.value, this.legend);
    this.node.dataset.map = task.name;
    this.build();
    this.listen();
  }

  build() {
    const { geometry, drawing } = this;
    const points = (places) => places.map((place) => geometry.toDrawing(place).map((x) => x.toFixed(1)).join(',')).join(' ');
    const simplex = geometry.simplex();
    for (const name of ['q-under', 'q-over']) drawing.append(svg(simplex.length > 2 ? 'polygon' : 'polyline', { points: points(simplex), class: name }));
    this.labelAxes();
    const corners = geometry.rest === null ? simplex : [[1, 0], [0, 1], [0, 0]];
    corners.forEach((place, i) => {
      const [x, y] = geometry.toDrawing(place);
      drawing.append(svg('circle', { cx: x, cy: y, r: 3.6, class: 'q-mark' }));
      const right = geometry.rest === null ? i === 0 : i !== 1;
      const anchor = geometry.rest !== null && i === 0 ? 'middle' : right ? 'start' : 'end';
      const shift = anchor === 'middle' ? [0, -9] : [right ? 7 : -7, geometry.rest === null ? (i ? -6 : 14) : 13];
      const cut = anchor === 'start' && x + shift[0] + LETTER * this.titles[i].length > geometry.width;
      const at = cut ? { x: geometry.width - 2, 'text-anchor': 'end' } : { x: x + shift[0], 'text-anchor': anchor };
      drawing.append(svg('text', { ...at, y: y + shift[1], class: 'q-corner' }, this.titles[i]));
    });
    this.ring = svg('circle', { r: 9.5, class: 'q-ring' });
    this.dot = svg('circle', { r: 7.5, class: 'q-dot' });
    drawing.append(this.ring, this.dot);
  }

  labelAxes() {
    const { geometry, drawing } = this;
    if (geometry.rest !== null) return;
    const { margin } = geometry;
    const bottom = geometry.line ? 54 : geometry.height - margin.bottom;
    for (const tick of [geometry.low, -1, 0, 1, geometry.high]) {
      const text = String(tick).replace('-', '−');
      const [x] = geometry.toDrawing([tick, 0]);
      drawing.append(svg('text', { x, y: bottom + 13, 'text-anchor': 'middle' }, text));
      if (!geometry.line) drawing.append(svg('text', { x: margin.left - 4, y: geometry.toDrawing([0, tick])[1] + 4, 'text-anchor': 'end' }, text));
    }
    const names = this.titles.map((title) => `λ ${title}`.slice(0, 26));
    drawing.append(svg('text', { x: geometry.toDrawing([0, 0])[0], y: bottom + 28, 'text-anchor': 'middle' }, names[0]));
    if (geometry.line) return;
    const y = geometry.toDrawing([0, 0])[1];
    drawing.append(svg('text', { x: 10, y, 'text-anchor': 'middle', transform: `rotate(-90 10 ${y})` }, names[1]));
  }

  listen() {
    const { drawing } = this;
    const move = (event) => {
      const box = drawing.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * this.geometry.width;
      const y = ((event.clientY - box.top) / box.height) * this.geometry.height;
      this.change(this.geometry.keep(this.geometry.toPlane([x, y])), event.timeStamp);
    };
    draggable(drawing, move, () => this.commit());
    drawing.addEventListener('keydown', (event) => this.key(event));
  }

  key(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const step = event.shiftKey ? BIG_STEP : STEP;
    // On the hexagon "right" means right: towards the third task, away from the second.
    const [x, y] = this.geometry.toDrawing(this.at);
    const size = step * this.geometry.scale;
    const target = this.geometry.toPlane([x + move[0] * size, y - move[1] * size]);
    this.change(this.geometry.keep(target), event.timeStamp);
    this.commit();
  }

  setLayer(layer, colours) {
    this.layer = layer;
    this.colours = colours;
    this.number.textContent = layer ? `${layer.label} ${layer.higher ? '↑' : '↓'}` : '';
    this.paint();
    this.describe();
    this.showValue();
  }

  paint() {
    const { canvas, geometry, layer } = this;
    const context = canvas.getContext('2d');
    context.clearRect(0, 0, canvas.width, canvas.height);
    const image = context.createImageData(canvas.width, canvas.height);
    const { low, high } = geometry;
    for (let y = 0; y < canvas.height; y += 1) {
      for (let x = 0; x < canvas.width; x += 1) {
        const [u, v] = geometry.toPlane([(x + 0.5) / PIXELS, (y + 0.5) / PIXELS]);
        if (!geometry.within(u, v) || (geometry.line && Math.abs(y / PIXELS - 36) > 16)) continue;
        const colour = this.colourAt(layer ? lookUp(layer.values, low, high, u, v) : null, x, y);
        image.data.set(colour, 4 * (y * canvas.width + x));
      }
    }
    context.putImageData(image, 0, 0);
  }

  colourAt(value, x, y) {
    if (value === null) return [128, 128, 128, 60];
    const { good, bad } = this.layer;
    const colour = this.colours[Math.round(255 * clamp((value - bad) / (good - bad), 0, 1))];
    const dark = this.forgotten(value) && (x + y) % 12 < 4 ? 0.3 : 1;
    return [...colour.map((c) => c * dark), 255];
  }

  forgotten(value) {
    return this.layer.higher ? value <= this.layer.limit : value >= this.layer.limit;
  }

  describe() {
    if (!this.layer) {
      this.legend.replaceChildren(element('span', { textContent: this.items ? 'not measured yet' : 'no items to measure it on' }));
      return;
    }
    const { bad, good, limit, unit, higher } = this.layer;
    const bar = element('span', { className: 'p-ramp' });
    bar.style.background = `linear-gradient(90deg, ${this.colours.filter((_, k) => k % 15 === 0).map((c) => `rgb(${c.map(Math.round)})`).join(', ')})`;
    const hatch = element('span', { className: 'p-chip' }, element('i', { className: 'q-hatch' }), `forgotten (${higher ? '≤' : '≥'} ${withUnit(limit, unit)})`);
    this.legend.replaceChildren(
      element('span', { textContent: (higher ? '' : '≥ ') + withUnit(bad, unit) }), bar, element('span', { textContent: withUnit(good, unit) }), hatch,
    );
  }

  /** Move the marker; `inside` says whether λ lies in this plane. */
  show(at, inside) {
    this.at = at;
    this.inside = inside;
    const [x, y] = this.geometry.toDrawing(this.geometry.keep(at));
    for (const node of [this.dot, this.ring]) {
      node.setAttribute('cx', x);
      node.setAttribute('cy', y);
    }
    this.dot.classList.toggle('q-off', !inside);
    this.showValue();
  }

  showValue() {
    this.sayValue();
    const known = this.value.textContent || 'not measured';
    const place = this.at.map((v) => v.toFixed(2)).join(', ');
    this.drawing.setAttribute('aria-label', `${this.task.title} over preferences: ${known} at (${place}); drag, click, or use the arrow keys`);
  }

  sayValue() {
    const { layer, geometry } = this;
    if (!layer) return this.value.replaceChildren();
    if (!this.inside) return this.value.replaceChildren('this λ lies off the plane that is drawn');
    const value = lookUp(layer.values, geometry.low, geometry.high, ...this.at);
    if (value === null) return this.value.replaceChildren();
    const nodes = [element('b', { textContent: withUnit(value, layer.unit) }), ` ${uncertain(layer)}${layer.label}`];
    if (this.forgotten(value)) nodes.push(element('span', { className: 'q-forgotten', textContent: 'forgotten' }));
    return this.value.replaceChildren(...nodes);
  }
}
