// The pad: a segment for two tasks, a triangle for three. Drag it, touch it, or use the keys.

import { draggable } from './drag.js';
import { barycentric, centre, clamp, corner, format, formatAll, mixed, project } from './simplex.js';

const NS = 'http://www.w3.org/2000/svg';

export function svg(name, attributes = {}, text = null) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}

/** What of a candidate's name fits into a mark. */
export const initial = (name) => [...name][0];

const STEP = 0.02;
const BIG_STEP = 0.1;

export class Pad {
  /** now() is λ, change(λ, event time) while moving, commit() when done; scale: λ to its place on the pad (even steps) and back. */
  constructor(node, tasks, { now, change, commit, scale }) {
    Object.assign(this, { node, tasks, now, change, commit, scale, count: tasks.length });
    const flat = this.count === 2;
    node.setAttribute('viewBox', flat ? '0 0 300 70' : '0 0 300 214');
    this.vertices = flat ? [[24, 46], [276, 46]] : [[150, 26], [46, 186], [254, 186]];
    this.draw(flat);
    this.listen();
  }

  draw(flat) {
    const { node, vertices } = this;
    const points = vertices.map((v) => v.join(',')).join(' ');
    node.append(svg(flat ? 'polyline' : 'polygon', { class: 'p-simplex', points }));
    if (!flat) {
      for (const part of [0.25, 0.5, 0.75]) {
        vertices.forEach((_, t) => {
          const [a, b] = [(t + 1) % 3, (t + 2) % 3].map((o) => {
            const weights = corner(3, o).map((v, i) => (i === t ? part : v * (1 - part)));
            return this.at(weights);
          });
          node.append(svg('line', { class: 'p-grid', x1: a[0], y1: a[1], x2: b[0], y2: b[1] }));
        });
      }
    } else {
      for (const part of [0.25, 0.5, 0.75]) {
        const x = vertices[0][0] + part * (vertices[1][0] - vertices[0][0]);
        node.append(svg('line', { class: 'p-grid', x1: x, y1: 38, x2: x, y2: 54 }));
      }
    }
    this.tasks.forEach((task, t) => {
      const [x, y] = vertices[t];
      const top = flat || t === 0;
      const anchor = flat ? ['start', 'end'][t] : ['middle', 'start', 'end'][t];
      const at = flat ? [4, 296][t] : [x, 4, 296][t];
      node.append(svg('text', { x: at, y: flat ? 20 : top ? y - 12 : y + 24, 'text-anchor': anchor }, task.title));
    });
    if (!flat) {
      // The front's points take their colours from these corners.
      vertices.forEach(([cx, cy], t) => node.append(svg('circle', { cx, cy, r: 5, fill: mixed(corner(3, t)) })));
    }
    this.feasible = svg('g', { class: 'p-feasible' });
    this.marks = svg('g', { class: 'p-marks' });
    node.append(this.feasible, this.marks);
    this.candidates = svg('g', { class: 'p-candidates' });
    this.dot = svg('circle', { class: 'p-dot', r: 11 });
    node.append(this.dot, this.candidates);
  }

  listen() {
    const { node } = this;
    const follow = (event) => this.change(this.toPreference(event), event.timeStamp);
    draggable(node, follow, () => this.commit(), true);
    node.addEventListener('keydown', (event) => this.key(event));
  }

  key(event) {
    const next = this.keyed(event.key, event.shiftKey ? BIG_STEP : STEP);
    if (!next) return;
    event.preventDefault();
    this.change(next, event.timeStamp);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.commit(), 300);
  }

  /** λ after a key: arrows move the handle, Home is the centre, a digit goes to that task's corner. */
  keyed(key, step) {
    if (key === 'Home') return centre(this.count);
    if (/^[1-9]$/.test(key) && Number(key) <= this.count) return corner(this.count, Number(key) - 1);
    const now = this.scale.toPlace(this.now()); // not what was drawn last: two keys may come within one frame
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const upwards = { ArrowUp: 1, ArrowDown: -1 }[key];
    if (this.count === 2) {
      const by = step * (sideways ?? (upwards ? -upwards : 0));
      if (!by) return null;
      return this.scale.toPreference(project([now[0] - by, now[1] + by]));
    }
    if (sideways) return this.scale.toPreference(project([now[0], now[1] - (sideways * step) / 2, now[2] + (sideways * step) / 2]));
    if (!upwards) return null;
    return this.scale.toPreference(project([now[0] + upwards * step, now[1] - (upwards * step) / 2, now[2] - (upwards * step) / 2]));
  }

  toPreference(event) {
    const box = this.node.getBoundingClientRect();
    const view = this.node.viewBox.baseVal;
    const x = ((event.clientX - box.left) / box.width) * view.width;
    const y = ((event.clientY - box.top) / box.height) * view.height;
    if (this.count === 3) return this.scale.toPreference(project(barycentric([x, y], this.vertices)));
    const [left, right] = this.vertices;
    const share = clamp((x - left[0]) / (right[0] - left[0]), 0, 1);
    return this.scale.toPreference([1 - share, share]);
  }

  toPoint(preference) {
    return this.at(this.scale.toPlace(preference));
  }

  at(place) {
    return [0, 1].map((axis) => place.reduce((sum, w, t) => sum + w * this.vertices[t][axis], 0));
  }

  /** Draw where a decision flips: marks of one λ (a stroke across the segment) or two (a piece of a line). */
  mark(marks) {
    this.marked = marks;
    this.marks.replaceChildren(
      ...marks.map((mark) => {
        const [[x1, y1], [x2, y2]] = mark.length > 1 ? mark.map((place) => this.toPoint(place)) : this.across(this.toPoint(mark[0]));
        return svg('line', { x1, y1, x2, y2 });
      }),
    );
  }

  across([x, y]) {
    return [[x, y - 15], [x, y + 15]];
  }

  /** Shade the part that meets all limits: segments or polygons of λ; null without limits. */
  limit(parts) {
    this.limited = parts;
    this.node.classList.toggle('p-limited', !!parts);
    this.feasible.replaceChildren(
      ...(parts ?? []).map((part) => svg(this.count === 2 ? 'polyline' : 'polygon', { points: part.map((λ) => this.toPoint(λ).join(',')).join(' ') })),
    );
  }

  /** Draw the candidates: [{name, preference, compared}]. */
  keep(candidates) {
    this.kept = candidates;
    this.candidates.replaceChildren(
      ...candidates.map(({ name, preference, compared }) => {
        const [x, y] = this.toPoint(preference);
        const node = svg('g', { class: compared ? 'p-candidate p-compared' : 'p-candidate', transform: `translate(${x},${y})` });
        node.append(svg('circle', { r: 8 }), svg('text', { y: 4, 'text-anchor': 'middle' }, initial(name)), svg('title', {}, name));
        return node;
      }),
    );
  }

  /** Show λ. */
  show(preference) {
    const [x, y] = this.toPoint(preference);
    this.dot.setAttribute('cx', x);
    this.dot.setAttribute('cy', y);
    const words = this.tasks.map((task, t) => `${task.title} ${format(preference[t])}`).join(', ');
    this.node.setAttribute('aria-valuetext', words);
    this.node.setAttribute('aria-label', `Preference: ${words}. Drag, or use the arrow keys; Home balances, a digit goes to that task`);
    this.node.dataset.preference = formatAll(preference);
  }
}
