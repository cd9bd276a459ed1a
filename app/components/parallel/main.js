// Parallel coordinates: a line per run, an axis per setting or figure; what is dragged along an axis is kept.

import { draggable } from '../explorer/drag.js';

const HEIGHT = 300, TOP = 42, BOTTOM = 26, SIDE = 70, GRIP = 15;
const STEP = 0.05; // of an axis, per key
const plots = new WeakMap();

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const short = (value) => (typeof value === 'number' ? String(Number(value.toPrecision(4))) : value);
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

class Parallel {
  constructor(root) {
    this.root = root;
    this.svg = root.querySelector('svg');
    this.kept = {}; // axis → [low, high] as shares of its length, from below
    new ResizeObserver(() => this.data && this.build()).observe(root);
  }

  update(data) {
    const text = JSON.stringify(data);
    if (text === this.text) return;
    this.text = text;
    this.data = data;
    if (!this.dragging) this.kept = Object.fromEntries(data.axes.filter((a) => data.brush[a.key]).map((a) => [a.key, this.shares(a)]));
    this.build();
  }

  /** Where a value lies on an axis, 0 at its foot; null for what is not known. */
  share(axis, value) {
    if (value === null) return null;
    if (!axis.number) return axis.range.length > 1 ? axis.range.indexOf(value) / (axis.range.length - 1) : 0.5;
    const [low, high] = axis.range;
    return high > low ? (value - low) / (high - low) : 0.5;
  }

  shares(axis) {
    const found = this.data.brush[axis.key].map((value) => this.share(axis, value));
    const margin = axis.number ? 0 : 0.4 / Math.max(1, axis.range.length - 1);
    return [Math.min(...found) - margin, Math.max(...found) + margin];
  }

  x(place) {
    const count = this.data.axes.length;
    return count > 1 ? SIDE + (place * (this.width - 2 * SIDE)) / (count - 1) : this.width / 2;
  }

  y(share) {
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  }

  build() {
    this.width = Math.max(560, this.root.clientWidth);
    this.paths = this.data.lines.map((line) => this.line(line));
    this.axes = this.data.axes.map((axis, place) => this.axis(axis, this.x(place)));
    this.svg.replaceChildren(...this.paths, ...this.axes);
    this.show();
  }

  line({ name, colour, values }) {
    const known = values.map((value, i) => [i, this.share(this.data.axes[i], value)]).filter(([, at]) => at !== null);
    const point = ([i, at]) => `${this.x(i).toFixed(1)} ${this.y(at).toFixed(1)}`;
    const steps = known.slice(1).map((to, k) => [known[k], to]);
    // Across an axis of which nothing is known the line is dotted: where it crosses says nothing.
    const part = (wanted) => steps.filter(([from, to]) => (to[0] - from[0] === 1) === wanted).map(([from, to]) => `M${point(from)}L${point(to)}`).join('');
    const path = svg('g', { class: 'run', stroke: colour || '#8888' }, svg('path', { d: part(true) }), svg('path', { class: 'gap', d: part(false) }));
    const told = this.data.axes.map((axis, i) => `${axis.label}: ${values[i] === null ? '–' : short(values[i])}`);
    path.append(svg('title', {}, [name, ...told].join('\n')));
    return path;
  }

  axis(axis, x) {
    const label = svg('text', { x, y: 14, 'text-anchor': 'middle', 'font-weight': 600 }, cut(axis.label, 20));
    label.append(svg('title', {}, axis.label));
    const ends = axis.number ? [axis.range[0], axis.range[1]] : axis.range;
    const shown = ends.length > 9 ? [ends[0], ends.at(-1)] : ends;
    const ticks = shown.map((value) => svg('text', { x: x + 8, y: this.y(this.share(axis, value)) + 4 }, cut(short(value), 14)));
    const line = svg('line', { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
    const grip = svg('rect', { class: 'grip', x: x - GRIP, y: TOP - 8, width: 2 * GRIP, height: HEIGHT - TOP - BOTTOM + 16 });
    const kept = svg('rect', { class: 'kept', x: x - 7, width: 14 });
    const node = svg('g', { class: 'axis', tabindex: 0, role: 'button', 'aria-label': `${axis.label}: arrow keys keep a part, Escape lets go` }, line, label, ...ticks, kept, grip);
    this.listen(axis, grip);
    node.addEventListener('keydown', (event) => this.key(axis, event));
    return node;
  }

  listen(axis, grip) {
    let from = null;
    const at = (event) => {
      const box = this.svg.getBoundingClientRect();
      return Math.min(1.02, Math.max(-0.02, (HEIGHT - BOTTOM - (event.clientY - box.top)) / (HEIGHT - TOP - BOTTOM)));
    };
    draggable(grip, (event) => {
      if (from === null) [from, this.dragging] = [at(event), true];
      const to = at(event);
      if (Math.abs(to - from) < 0.015) delete this.kept[axis.key]; // a press without a way lets go
      else this.kept[axis.key] = [Math.min(from, to), Math.max(from, to)];
      this.show();
    }, () => {
      [from, this.dragging] = [null, false];
      this.tell();
    });
  }

  key(axis, event) {
    const [low, high] = this.kept[axis.key] ?? [0, 1];
    const step = { ArrowUp: STEP, ArrowDown: -STEP }[event.key];
    if (event.key === 'Escape' || event.key === 'Delete') delete this.kept[axis.key];
    else if (!step) return;
    else this.kept[axis.key] = event.shiftKey ? [Math.min(high, Math.max(0, low + step)), high] : [low, Math.max(low, Math.min(1, high + step))];
    event.preventDefault();
    this.show();
    this.tell();
  }

  passes({ values }) {
    return this.data.axes.every((axis, i) => {
      const kept = this.kept[axis.key];
      const at = kept && this.share(axis, values[i]);
      return !kept || (at !== null && kept[0] <= at + 1e-9 && at - 1e-9 <= kept[1]);
    });
  }

  show() {
    let left = 0;
    this.data.lines.forEach((line, i) => {
      const passes = this.passes(line);
      left += passes;
      this.paths[i].classList.toggle('out', !passes);
    });
    this.data.axes.forEach((axis, i) => {
      const kept = this.axes[i].querySelector('.kept');
      const part = this.kept[axis.key];
      kept.style.display = part ? '' : 'none';
      if (part) kept.setAttribute('y', this.y(part[1]));
      if (part) kept.setAttribute('height', this.y(part[0]) - this.y(part[1]));
    });
    this.root.querySelector('.told').textContent = `${left} of ${this.data.lines.length} runs. Drag along an axis to keep a part of it, press it to let go.`;
    this.root.dataset.left = left;
  }

  /** Numbers as they are on the axis; of texts those within. */
  tell() {
    const told = this.data.axes.filter((axis) => this.kept[axis.key]).map((axis) => {
      const [from, to] = this.kept[axis.key];
      if (!axis.number) return [axis.key, axis.range.filter((value) => from <= this.share(axis, value) && this.share(axis, value) <= to)];
      const [low, high] = axis.range;
      const value = (share) => low + share * (high - low);
      const slack = 1e-9 * (high - low); // a run at the very end is within
      return [axis.key, [value(from) - slack, value(to) + slack]];
    });
    this.report('brush', Object.fromEntries(told));
  }
}

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector('.parallel');
  if (!plots.has(root)) plots.set(root, new Parallel(root));
  const plot = plots.get(root);
  plot.report = setStateValue;
  plot.update(data);
}
