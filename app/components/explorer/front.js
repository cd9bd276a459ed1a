// The evaluated front beside the pictures: a figure that is built once; only the marker of the current preference moves.

import { plotly } from '../plotly.js';
import { FrontFigure, short } from './front_figure.js';
import { initial } from './pad.js';
import { element } from './panels.js';
import { Interpolator, project } from './simplex.js';

// Without the bar of buttons: it would cover points in the corner. Drag zooms, a double click shows everything.
const CONFIG = { displayModeBar: false, responsive: true };

const inside = (preference) => preference.every((v) => v > -1e-6);

export class FrontPlot {
  /** now() is λ, chosen(λ) is called when a point is clicked or reached with a key. */
  constructor(card, front, tasks, { now, chosen }) {
    Object.assign(this, { card, front, tasks, now, chosen });
    this.plot = card.querySelector('.p-plot');
    this.stage = card.querySelector('.p-stage');
    this.about = card.querySelector('.p-about');
    this.stage.addEventListener('keydown', (event) => this.walk(event));
    this.clip = card.querySelector('.p-clip');
    this.marker = card.querySelector('.p-marker'); // hidden until there is a figure
    this.kept = [];
    this.meets = null;
    this.marks = [];
    this.around = new Interpolator(front.preferences);
    this.kind = tasks.length > 3 ? 'lines' : '2d';
    this.axes = this.defaultAxes();
    this.buildControls();
    this.ready = this.build();
    // The card takes what height the pictures beside it leave.
    new ResizeObserver(() => this.plot._fullLayout && this.plot.checkVisibility() && window.Plotly.Plots.resize(this.plot)).observe(this.plot);
    // Streamlit's theme arrives as CSS variables; a change of the text colour is how a switch can be noticed.
    card.addEventListener('transitionend', (event) => event.propertyName === 'color' && this.build());
  }

  defaultAxes() {
    const first = this.front.columns.findIndex((c) => c.key.startsWith(`${this.tasks[0].name}/`));
    const second = this.front.columns.findIndex((c) => c.key.startsWith(`${this.tasks[Math.min(1, this.tasks.length - 1)].name}/`));
    const third = this.front.columns.findIndex((c) => c.key.startsWith(`${this.tasks[Math.min(2, this.tasks.length - 1)].name}/`));
    return [first, second, third];
  }

  buildControls() {
    const node = this.card.querySelector('.p-axes');
    this.choices = ['x', 'y', 'z'].map((axis, i) => {
      const select = element('select', { 'aria-label': `${axis} axis` });
      select.append(...this.front.columns.map((c, k) => element('option', { value: k, textContent: c.label })));
      select.value = this.axes[i];
      select.addEventListener('change', () => {
        this.axes[i] = Number(select.value);
        this.ready = this.build();
      });
      return element('label', { className: 'p-axis', hidden: i === 2 }, axis, select);
    });
    node.replaceChildren(...this.choices);
    // Besides the plane of two columns there is space for three tasks, and an axis per task for more.
    const other = this.tasks.length === 3 ? '3d' : 'lines';
    if (this.tasks.length > 2) {
      const toggle = element('button', { type: 'button', textContent: other === '3d' ? '3-D' : 'All tasks', 'aria-pressed': this.kind === other });
      toggle.addEventListener('click', () => {
        this.kind = this.kind === other ? '2d' : other;
        toggle.setAttribute('aria-pressed', this.kind === other);
        this.ready = this.build();
      });
      node.append(toggle);
    }
  }

  colours() {
    const style = getComputedStyle(this.card);
    const probe = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
    return {
      text: style.color,
      font: style.fontFamily, // by name: what is drawn by WebGL inherits nothing
      line: probe('--st-border-color', '#cccccc'),
      point: probe('--st-primary-color', '#3b5bdb'),
      paper: probe('--st-background-color', '#ffffff'),
      here: probe('--st-orange-color', '#e8590c'),
    };
  }

  async build() {
    let Plotly;
    try {
      Plotly = await plotly();
    } catch {
      this.plot.textContent = 'The plot library did not load; reload the page.';
      return;
    }
    this.stage.classList.toggle('p-space', this.kind === '3d');
    this.choices.forEach((choice, i) => (choice.hidden = this.kind === 'lines' || (i === 2 && this.kind !== '3d')));
    const names = this.kind === 'lines' ? 'all losses' : this.axes.slice(0, this.kind === '3d' ? 3 : 2).map((a) => this.front.columns[a].label).join(' against ');
    this.stage.setAttribute('aria-label', `Front: ${names}. The arrow keys step from point to point`);
    const colours = this.colours();
    const { data, layout, scaled } = new FrontFigure(this.front, this.tasks, this.axes, colours, this.meets).of(this.kind);
    this.scaled = scaled;
    await Plotly.react(this.plot, data, layout, CONFIG);
    this.plot.removeAllListeners?.('plotly_click');
    this.plot.on('plotly_click', (event) => this.clicked(event));
    this.plot.removeAllListeners?.('plotly_afterplot');
    // In two dimensions the marker lies over the figure; elsewhere it is in it, and moving it plots again.
    this.plot.on('plotly_afterplot', () => this.kind === '2d' && this.place([0, 1]));
    this.place([0, 1]);
  }

  /** From point to point with the arrow keys, in the order of the horizontal axis. */
  walk(event) {
    if (event.target !== this.stage) return;
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!by) return;
    event.preventDefault();
    const { preferences, columns } = this.front;
    const along = columns[this.axes[0]].values;
    const order = preferences.map((_, k) => k).sort((a, b) => along[a] - along[b]);
    const preference = this.now();
    const off = (k) => preferences[k].reduce((sum, v, t) => sum + (v - preference[t]) ** 2, 0);
    const here = order.reduce((best, k, i) => (off(k) < off(order[best]) ? i : best), 0);
    const next = Math.max(0, Math.min(order.length - 1, here + by));
    this.about.textContent = `point ${next + 1} of ${order.length}: λ = ${short(preferences[order[next]])}`;
    this.chosen(preferences[order[next]]);
  }

  clicked(event) {
    const point = event.points.find((p) => p.customdata !== undefined && p.customdata !== null);
    if (!point) return;
    const k = Number(Array.isArray(point.customdata) || ArrayBuffer.isView(point.customdata) ? point.customdata[0] : point.customdata);
    if (this.front.preferences[k]) this.chosen(this.front.preferences[k]);
  }

  /** Let the points that miss a limit fade: meets [K], or null without limits. */
  limit(meets) {
    if (`${meets}` === `${this.meets}`) return;
    this.meets = meets;
    this.ready = this.build();
  }

  /** Move the marker to λ. */
  show(preference) {
    this.preference = preference;
    this.place([0]);
  }

  /** Mark the candidates: [{name, preference, compared}]. */
  keep(candidates) {
    this.kept = candidates.filter(({ preference }) => inside(preference));
    this.marks.forEach((mark) => mark.remove());
    this.marks = this.kept.map(({ name, compared }) => element('span', { className: `p-mark${compared ? ' p-compared' : ''}`, title: name, textContent: initial(name), hidden: true }));
    this.clip.append(...this.marks);
    this.place([1]);
  }

  /** Bring marks to where the front is at their λ: those of λ (0), of the candidates (1). */
  place(which) {
    if (!this.preference || !this.plot._fullLayout || !window.Plotly) return;
    const shown = [inside(this.preference) ? [this.preference] : [], this.kept.map(({ preference }) => preference)];
    const laid = [[this.marker], this.marks];
    for (const i of which) {
      if (this.kind === '2d') laid[i].forEach((mark, k) => this.lay(mark, shown[i][k]));
      else laid[i].forEach((mark) => mark.toggleAttribute('hidden', true));
      if (this.kind === '3d') this.restyle(i, this.axes.map((axis) => shown[i].map((λ) => this.at(axis, λ))));
      else if (this.kind === 'lines' && this.scaled) this.restyle(i, [null, shown[i].flatMap((λ) => [...this.scaled.map(({ index, scale }) => scale(this.at(index, λ))), null])]);
    }
  }

  /** The last two traces of a figure that has its marks in it: λ and the candidates, in [x, y, z]. */
  restyle(i, [x, y, z]) {
    const names = this.kept.map(({ name }) => initial(name));
    const values = x ? { x: [x], y: [y], z: [z] } : { y: [y], x: [(i ? this.kept : [0]).flatMap(() => [...this.tasks.map((task) => task.title), null])] };
    window.Plotly.restyle(this.plot, i && x ? { ...values, text: [names] } : values, [1 + i]);
  }

  /** What a column of the front has at λ, between its points. */
  at(index, preference) {
    const column = this.front.columns[index];
    const value = this.around.value(column.values, preference);
    return value == null ? null : this.kind !== 'lines' && column.unit === '%' ? 100 * value : value;
  }

  /** Lay a mark over the plane at λ; it is hidden without λ and outside of what is in sight. */
  lay(mark, preference) {
    const { xaxis, yaxis } = this.plot._fullLayout;
    const [x, y] = preference ? this.axes.map((axis) => this.at(axis, preference)) : [null, null];
    const there = x != null && y != null && xaxis;
    const [across, down] = there ? [xaxis.l2p(x), yaxis.l2p(y)] : [-Infinity, -Infinity];
    const seen = across > -2 && down > -2 && across < xaxis._length + 2 && down < yaxis._length + 2;
    mark.toggleAttribute('hidden', !seen);
    if (seen) mark.style.translate = `${xaxis._offset + across}px ${yaxis._offset + down}px`;
  }
}

/** The front in its card of the page; undefined where there is none to show. Where many axes need the width, it moves. */
export function frontIn(card, page, { front, tasks, controllable }, { now, chosen }) {
  card.hidden = !front || tasks.length === 1 || !controllable;
  if (card.hidden) return undefined;
  if (tasks.length > 6) page.append(card);
  card.querySelector('.p-about').textContent = front.about;
  Object.assign(card.querySelector('.p-effect'), { textContent: front.effect, hidden: !front.effect });
  return new FrontPlot(card, front, tasks, { now, chosen: (preference) => chosen(project(preference)) });
}
