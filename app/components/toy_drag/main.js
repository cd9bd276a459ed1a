// A point in the plane, the gradients of two objectives there, and its place in the space of losses.

import { draggable } from '../explorer/drag.js';
import { svg } from '../explorer/pad.js';
import { clamp } from '../explorer/simplex.js';

const instances = new WeakMap();
const SIZE = 320;
const EDGE = 34;
const ARROW = 34; // drawing units per unit of gradient
const NEAR = 0.035; // distance from the Pareto set that counts as on it

class Toy {
  constructor(root, data) {
    Object.assign(this, { root, at: [-0.9, 0.95], trail: [] });
    this.find = (name) => root.querySelector(`.t-${name}`);
    this.plane = this.find('plane');
    this.losses = this.find('losses');
    this.output = root.querySelector('output');
    this.listen();
    this.update(data);
    root.toy = this; // for tests
  }

  update(data) {
    if (this.data && this.data.concave === data.concave) return;
    this.data = data;
    this.trail = [];
    this.stop();
    this.draw();
    this.show();
  }

  // -- arithmetic: everything is read from Python's tables ----------------------------------------------------------
  read(table, [x, y]) {
    const { grid, extent } = this.data;
    const place = [x, y].map((c) => clamp(((c + extent) / (2 * extent)) * (grid - 1), 0, grid - 1 - 1e-9));
    const [i, j] = place.map(Math.floor);
    const [p, q] = [place[0] - i, place[1] - j];
    const cell = [[j, i, (1 - p) * (1 - q)], [j, i + 1, p * (1 - q)], [j + 1, i, (1 - p) * q], [j + 1, i + 1, p * q]];
    return table[0].map((_, k) => cell.reduce((sum, [row, column, w]) => sum + w * table[row * grid + column][k], 0));
  }

  gradients(at) {
    const [a, b, c, d] = this.read(this.data.gradients, at);
    return [[a, b], [c, d]];
  }

  /** Minus the shortest convex combination of the gradients: neither loss grows. */
  common(at) {
    const [g, h] = this.gradients(at);
    const difference = [g[0] - h[0], g[1] - h[1]];
    const length = difference[0] ** 2 + difference[1] ** 2;
    const share = length < 1e-12 ? 0.5 : clamp(-(h[0] * difference[0] + h[1] * difference[1]) / length, 0, 1);
    return [0, 1].map((k) => -(share * g[k] + (1 - share) * h[k]));
  }

  weighted(at, weight) {
    const [g, h] = this.gradients(at);
    return [0, 1].map((k) => -(weight * g[k] + (1 - weight) * h[k]));
  }

  /** Distance to the segment between the minima. */
  distance([x, y]) {
    const [[a, b], [c, d]] = this.data.minima;
    const share = clamp(((x - a) * (c - a) + (y - b) * (d - b)) / ((c - a) ** 2 + (d - b) ** 2), 0, 1);
    return Math.hypot(x - a - share * (c - a), y - b - share * (d - b));
  }

  // -- drawing ------------------------------------------------------------------------------------------------------
  toDrawing([x, y]) {
    const { extent } = this.data;
    return [((x + extent) / (2 * extent)) * SIZE, SIZE - ((y + extent) / (2 * extent)) * SIZE];
  }

  toLosses([a, b]) {
    const room = SIZE - EDGE - 12;
    return [EDGE + (Math.min(a, this.data.top * 1.02) / this.data.top) * room, SIZE - EDGE - (Math.min(b, this.data.top * 1.02) / this.data.top) * room];
  }

  draw() {
    const { data } = this;
    const points = (list) => list.map((p) => p.map((v) => v.toFixed(1)).join(',')).join(' ');
    this.plane.replaceChildren();
    data.minima.forEach((minimum, t) => {
      const [cx, cy] = this.toDrawing(minimum);
      for (const r of [28, 56, 90, 130]) this.plane.append(svg('circle', { cx, cy, r, class: 't-ring', stroke: data.colours[t] }));
    });
    this.plane.append(svg('polyline', { points: points(data.minima.map((m) => this.toDrawing(m))), class: 't-set' }));
    data.minima.forEach((minimum, t) => {
      const [x, y] = this.toDrawing(minimum);
      this.plane.append(svg('circle', { cx: x, cy: y, r: 5, fill: data.colours[t] }));
      this.plane.append(svg('text', { x, y: y + (t ? -11 : 20), 'text-anchor': 'middle' }, `best for task ${t + 1}`));
    });
    this.path = svg('polyline', { class: 't-trail' });
    this.arrows = data.colours.map((stroke) => svg('path', { class: 't-arrow', stroke }));
    this.names = [1, 2].map((t) => svg('text', { 'text-anchor': 'middle' }, `−∇L${'₁₂'[t - 1]}`));
    this.dot = svg('circle', { r: 9, class: 't-dot' });
    this.plane.append(this.path, ...this.arrows, ...this.names, this.dot);
    this.losses.replaceChildren();
    const [left, bottom] = this.toLosses([0, 0]);
    this.better = svg('rect', { class: 't-better', x: left });
    this.losses.append(
      this.better, svg('path', { class: 't-axis', fill: 'none', d: `M${left} 8V${bottom}H${SIZE - 8}` }),
      svg('text', { x: SIZE - 12, y: bottom + 22, 'text-anchor': 'end' }, '← loss of task 1'),
      svg('text', { x: 0, y: 0, 'text-anchor': 'end', transform: `translate(${left - 12} 12) rotate(-90)` }, '← loss of task 2'),
      svg('polyline', { points: points(data.front.map((p) => this.toLosses(p))), class: 't-front' }),
    );
    const [x, y] = this.toLosses(data.front[Math.floor(data.front.length / 2)]);
    this.losses.append(svg('text', data.concave ? { x: x + 8, y: y - 8 } : { x: x - 8, y: y + 18, 'text-anchor': 'end' }, 'Pareto front'));
    this.lossPath = svg('polyline', { class: 't-trail' });
    this.lossDot = svg('circle', { r: 9, class: 't-dot' });
    this.losses.append(this.lossPath, this.lossDot);
  }

  show() {
    const [x, y] = this.toDrawing(this.at);
    this.gradients(this.at).forEach(([a, b], t) => {
      const [dx, dy] = [-a * ARROW, b * ARROW];
      const size = Math.hypot(dx, dy) || 1;
      const [ux, uy] = [dx / size, dy / size];
      const [tx, ty] = [x + dx, y + dy];
      const head = `M${tx - 7 * ux - 5 * uy} ${ty - 7 * uy + 5 * ux}L${tx} ${ty}L${tx - 7 * ux + 5 * uy} ${ty - 7 * uy - 5 * ux}`;
      this.arrows[t].setAttribute('d', size > 3 ? `M${x} ${y}L${tx} ${ty}${head}` : '');
      this.names[t].setAttribute('x', tx + 16 * ux);
      this.names[t].setAttribute('y', ty + 16 * uy + 4);
      this.names[t].setAttribute('opacity', size > 14 ? 1 : 0);
    });
    const losses = this.read(this.data.objectives, this.at);
    const [lx, ly] = this.toLosses(losses);
    for (const [dot, cx, cy] of [[this.dot, x, y], [this.lossDot, lx, ly]]) {
      dot.setAttribute('cx', cx);
      dot.setAttribute('cy', cy);
    }
    const [left, bottom] = this.toLosses([0, 0]);
    for (const [name, value] of [['y', ly], ['width', Math.max(0, lx - left)], ['height', Math.max(0, bottom - ly)]]) this.better.setAttribute(name, value);
    this.path.setAttribute('points', this.trail.map((p) => this.toDrawing(p).join(',')).join(' '));
    this.lossPath.setAttribute('points', this.trail.map((p) => this.toLosses(this.read(this.data.objectives, p)).join(',')).join(' '));
    this.describe(losses);
  }

  describe([a, b]) {
    const on = this.distance(this.at) < NEAR;
    const text = on
      ? 'on the Pareto set: the arrows pull against each other, so one loss only falls if the other grows.'
      : 'not Pareto optimal: moving between the two arrows lowers both losses.';
    this.find('text').textContent = `L₁ = ${a.toFixed(3)}, L₂ = ${b.toFixed(3)}: ${text}`;
    this.root.dataset.on = on;
  }

  // -- moving -------------------------------------------------------------------------------------------------------
  move(at) {
    const room = this.data.extent * 0.985;
    this.at = at.map((c) => clamp(c, -room, room));
    this.trail.push(this.at);
    if (this.trail.length > 600) this.trail.shift();
    this.show();
  }

  listen() {
    const follow = (event) => {
      const box = this.plane.getBoundingClientRect();
      const { extent } = this.data;
      this.move([((event.clientX - box.left) / box.width) * 2 * extent - extent, extent - ((event.clientY - box.top) / box.height) * 2 * extent]);
    };
    this.plane.addEventListener('pointerdown', () => {
      this.stop();
      this.trail = [];
    });
    draggable(this.plane, follow, () => {});
    this.plane.addEventListener('keydown', (event) => {
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!by) return;
      event.preventDefault();
      this.move(this.at.map((c, k) => c + 0.05 * by[k]));
    });
    const weight = this.find('weight');
    weight.addEventListener('input', () => {
      const [a, b] = [Number(weight.value), 1 - weight.value];
      this.output.textContent = `λ = (${a.toFixed(2)}, ${b.toFixed(2)})`;
    });
    this.find('descend').addEventListener('click', () => this.run((at) => this.common(at)));
    this.find('sum').addEventListener('click', () => this.run((at) => this.weighted(at, Number(weight.value))));
    this.find('clear').addEventListener('click', () => {
      this.trail = [];
      this.show();
    });
  }

  /** Gradient descent along a direction, a few steps per second, until nothing moves. */
  run(direction) {
    this.stop();
    let left = 300;
    this.timer = setInterval(() => {
      const [dx, dy] = direction(this.at);
      if ((left -= 1) < 0 || Math.hypot(dx, dy) < 0.02 || !this.root.isConnected) return this.stop();
      return this.move([this.at[0] + 0.06 * dx, this.at[1] + 0.06 * dy]);
    }, 30);
  }

  stop() {
    clearInterval(this.timer);
  }
}

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data, parentElement }) {
  const root = parentElement.querySelector('.toy');
  const toy = instances.get(root);
  if (toy) toy.update(data);
  else instances.set(root, new Toy(root, data));
}
