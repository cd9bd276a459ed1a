// What plotly draws of an evaluated front: a plane, space for three tasks, an axis per task for more.

import { withUnit } from './numbers.js';
import { formatAll, mixed } from './simplex.js';

/** λ in few words, however many tasks there are. */
export const short = (p) => (p.length > 6 ? formatAll(p.slice(0, 6)).replace(')', ', …)') : formatAll(p));

export class FrontFigure {
  /** axes: the columns chosen for x, y and z; colours: those of the theme; meets: which points meet all limits, or null. */
  constructor(front, tasks, axes, colours, meets = null) {
    Object.assign(this, { front, tasks, axes, colours, meets });
  }

  /** kind: 2d, 3d or lines. Gives data and layout; for lines also scaled, how each column comes to its axis. */
  of(kind) {
    const { data, layout, scaled } = { '2d': () => this.flat(), '3d': () => this.space(), lines: () => this.lines() }[kind]();
    return { data, layout: { ...this.common(kind), ...layout }, scaled };
  }

  common(kind) {
    const { colours } = this;
    return {
      font: { color: colours.text, family: colours.font, size: 11 },
      paper_bgcolor: 'rgba(0,0,0,0)',
      plot_bgcolor: 'rgba(0,0,0,0)',
      margin: { l: 52, r: 10, t: 8, b: 42 },
      showlegend: false,
      hovermode: 'closest',
      // The zoom belongs to the axes: it outlives a change of theme, not a change of what is shown.
      uirevision: `${kind} ${this.axes}`,
      dragmode: matchMedia('(pointer: coarse)').matches ? false : 'zoom',
    };
  }

  title(column, upright) {
    // Axis titles of y are turned: an arrow to the right then points up.
    const better = column.higher ? (upright ? '→ better' : 'better →') : upright ? 'better ←' : '← better';
    const unit = column.unit ? ` [${column.unit}]` : '';
    return column.higher || upright ? `${column.label}${unit}  ${better}` : `${better}  ${column.label}${unit}`;
  }

  values(index) {
    const column = this.front.columns[index];
    return column.values.map((v) => (v == null ? null : column.unit === '%' ? 100 * v : v));
  }

  axis(index, upright = false) {
    const column = this.front.columns[index];
    return {
      title: { text: this.title(column, upright), font: { size: 11.5 }, standoff: 6 },
      gridcolor: this.colours.line,
      linecolor: this.colours.line,
      zeroline: false,
      automargin: true,
      nticks: 6,
    };
  }

  /** Points take the colours of their preference where T = 3: one channel per task, kept light enough to see. */
  pointColours() {
    if (this.tasks.length !== 3) return this.colours.point;
    return this.front.preferences.map(mixed);
  }

  hover(axes) {
    return this.front.preferences.map((p) => {
      const lines = axes.map((a) => {
        const column = this.front.columns[a];
        return `${column.label} ${withUnit(column.values[this.front.preferences.indexOf(p)], column.unit)}`;
      });
      const missed = this.meets && !this.meets[this.front.preferences.indexOf(p)] ? '<br>misses a limit' : '';
      return `λ = ${formatAll(p)}<br>${lines.join('<br>')}${missed}`;
    });
  }

  points(axes) {
    const { colours } = this;
    const dominated = this.front.nondominated.map((good) => !good);
    return {
      mode: this.tasks.length === 2 ? 'lines+markers' : 'markers',
      customdata: this.front.preferences.map((_, k) => k),
      text: this.hover(axes),
      hovertemplate: '%{text}<extra></extra>',
      line: { color: colours.point, width: 1.5 },
      marker: {
        size: 9,
        color: this.pointColours(),
        opacity: this.meets ? this.meets.map((good) => (good ? 1 : 0.18)) : 1,
        symbol: dominated.map((bad) => (bad ? 'circle-open' : 'circle')),
        line: { width: 1.2, color: this.tasks.length === 3 ? colours.paper : colours.point },
      },
    };
  }

  /** The plane of two columns. */
  flat() {
    const [x, y] = this.axes;
    const trace = { type: 'scatter', x: this.values(x), y: this.values(y), ...this.points([x, y]) };
    return { data: [trace], layout: { xaxis: this.axis(x), yaxis: this.axis(y, true) } };
  }

  /** Three columns in space; the marks are in the figure. */
  space() {
    const { colours } = this;
    const [x, y, z] = this.axes;
    const data = { type: 'scatter3d', x: this.values(x), y: this.values(y), z: this.values(z), ...this.points([x, y, z]) };
    // Space knows one opacity for all points: those that miss a limit are open there.
    const symbol = this.meets ? this.meets.map((good) => (good ? 'circle' : 'circle-open')) : 'circle';
    data.marker = { ...data.marker, size: 4, symbol, opacity: 1, line: { width: 0 } };
    const here = { size: 7, symbol: 'diamond', color: colours.here, line: { width: 2, color: colours.text } };
    const marker = { type: 'scatter3d', mode: 'markers', x: [0], y: [0], z: [0], hoverinfo: 'skip', marker: here };
    const scene = Object.fromEntries([['xaxis', x], ['yaxis', y], ['zaxis', z]].map(([name, i]) => [name, this.spaceAxis(i)]));
    // Far enough away that ticks and titles are inside the figure.
    const camera = { eye: { x: 1.75, y: 1.6, z: 1.05 }, center: { x: 0, y: 0, z: -0.1 } };
    const layout = { scene: { ...scene, camera, dragmode: 'turntable', aspectmode: 'manual', aspectratio: { x: 0.8, y: 0.8, z: 0.8 } }, dragmode: 'turntable', margin: { l: 0, r: 0, t: 0, b: 0 } };
    const kept = { ...marker, mode: 'markers+text', textposition: 'top center', textfont: { color: colours.text, family: colours.font }, marker: { size: 8, symbol: 'diamond-open', color: colours.text, line: { width: 2, color: colours.text } } };
    return { data: [data, marker, kept], layout };
  }

  spaceAxis(index) {
    const { colours } = this;
    const column = this.front.columns[index];
    const unit = column.unit ? ` [${column.unit}]` : '';
    const [grid, font] = [{ gridcolor: colours.line, zeroline: false, showspikes: false }, { size: 10, color: colours.text, family: colours.font }];
    return { title: { text: `${column.label}${unit}`, font: { ...font, size: 11 } }, tickfont: font, nticks: 4, ...grid };
  }

  /** More than three tasks: one line per preference over all objectives, each scaled from best to worst. */
  lines() {
    const { colours } = this;
    const shown = this.tasks.map((task) => this.front.columns.findIndex((c) => c.key === `${task.name}/loss`));
    const scaled = shown.map((index) => {
      const known = this.front.columns[index].values.filter((v) => v != null);
      const [low, high] = [Math.min(...known), Math.max(...known)];
      return { index, scale: (v) => (v - low) / (high - low || 1) };
    });
    const names = this.tasks.map((task) => task.title);
    const [x, y, k, text] = [[], [], [], []];
    const hover = this.front.preferences.map((p) => `λ = ${short(p)}`);
    this.front.preferences.forEach((_, point) => {
      scaled.forEach(({ index, scale }, t) => {
        x.push(names[t]);
        y.push(scale(this.front.columns[index].values[point]));
        k.push(point);
        text.push(hover[point]);
      });
      [x, y, k, text].forEach((list) => list.push(null));
    });
    const all = {
      type: 'scatter', mode: 'lines+markers', x, y, customdata: k, text, hovertemplate: '%{text}<extra></extra>',
      line: { color: colours.point, width: 1 }, marker: { size: 5 }, opacity: 0.35, connectgaps: false,
    };
    const now = { type: 'scatter', mode: 'lines+markers', x: names, y: names.map(() => null), hoverinfo: 'skip', line: { color: colours.text, width: 2.5 }, marker: { size: 7, symbol: 'diamond' } };
    const kept = { ...now, connectgaps: false, line: { ...now.line, width: 1.5, dash: 'dot' }, marker: { size: 8, symbol: 'x-thin-open' } };
    const yaxis = { title: { text: 'loss, best 0 to worst 1' }, gridcolor: colours.line, zeroline: false, range: [-0.05, 1.05] };
    const xaxis = { gridcolor: colours.line, tickangle: names.length > 6 ? -60 : 0, automargin: true };
    return { data: [all, now, kept], layout: { xaxis, yaxis }, scaled };
  }
}
