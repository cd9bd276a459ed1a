// One panel per task: its picture (prediction, ground truth or error) or its numbers, how to read it, and its metrics.

import { viewOf } from '../kinds/base.js';
import { amountOf, change } from './changes.js';
import { formatAll, withUnit } from './simplex.js';

export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith('aria-') || key === 'role') node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

const VIEWS = [['prediction', 'Prediction'], ['truth', 'Truth'], ['error', 'Error'], ['change', 'Change']];
const NAMES = {
  prediction: 'prediction', truth: 'ground truth', error: 'where the prediction is wrong', change: 'what changed since the pinned λ',
};
const MARKED = ['error', 'change']; // pictures of places and amounts, not of what a task predicts
// Canvases have the screen's own pixels, so that labels are sharp and nothing is drawn that is scaled away again.
const CANVAS_WIDTH = 320; // until a panel knows how wide it is shown
const CANVAS_MOST = 1280;
const OVERLAY = 0.62;
const WRONG = '#E8590C';
const LABEL_SHARE = 0.035;

/** Title, metrics and legend that all panels have. */
class Panel {
  constructor(task) {
    this.task = task;
    this.heading = element('h3', { textContent: task.title });
    this.tools = element('div', { className: 'p-views' });
    this.body = element('div', { className: 'p-body' });
    this.numbers = element('div', { className: 'p-numbers' });
    this.legend = element('div', { className: 'p-legend' });
    const head = element('header', {}, this.heading, this.tools);
    this.node = element('section', { className: 'p-panel', 'aria-label': task.title }, head, this.body, this.numbers, this.legend);
    this.node.dataset.task = task.name;
  }

  /** The first metric large: on the test set (from the front) and on this item; beside it what changed since the pin. */
  showMetrics(onSplit, here, kept) {
    this.cells ??= this.task.metrics.slice(0, 2).map((metric, i) => {
      const [value, delta, note] = [element('b'), element('i', { className: 'p-delta' }), element('small')];
      const node = element('span', { className: i === 0 ? 'p-number p-main' : 'p-number' });
      node.append(`${metric.label} ${metric.higher ? '↑' : '↓'} `, value, delta, note);
      return { metric, node, value, delta, note };
    });
    const known = this.cells.filter((cell, i) => this.showMetric(cell, i === 0, onSplit, here, kept));
    if (known.length !== this.numbers.childElementCount) this.numbers.replaceChildren(...known.map(({ node }) => node));
  }

  showMetric({ metric, node, value, delta, note }, first, onSplit, here, kept) {
    const [split, item] = [onSplit?.[metric.key], here?.[metric.name]];
    if (split == null && item == null) return false;
    const unit = metric.unit;
    write(value, withUnit(split ?? item, unit));
    const before = kept && (split == null ? kept.here?.[metric.name] : kept.onSplit?.[metric.key]);
    const change = before == null ? null : (split ?? item) - before;
    write(delta, change == null ? '' : difference(change, unit));
    write(delta, !change ? '' : `${change > 0 === metric.higher}`, 'data-better');
    const also = item != null && first && split != null;
    write(note, split == null ? ' here' : also && !kept ? ` (here ${withUnit(item, unit)})` : '');
    const told = [`${metric.label}: ${metric.higher ? 'higher' : 'lower'} is better`];
    if (before != null) told.push(`pinned ${withUnit(before, unit)}`);
    const hereBefore = kept?.here?.[metric.name];
    if (also && hereBefore != null) told.push(`here ${withUnit(item, unit)}, pinned ${withUnit(hereBefore, unit)}`);
    write(node, told.join('; '), 'title');
    return true;
  }
}

/** A change with its sign, in points where fractions are shown in percent. */
const difference = (value, unit) => {
  const size = unit === '%' ? (100 * Math.abs(value)).toFixed(1) : Number(Math.abs(value).toPrecision(2)).toString();
  return ` ${Number(size) === 0 ? '±' : value > 0 ? '+' : '−'}${size}`;
};

/** A text, or an attribute, that is as it should be is left alone: writing it has the browser style the page again. */
function write(node, text, attribute = null) {
  if (attribute === null) {
    if (node.textContent !== text) node.textContent = text;
  } else if (node.getAttribute(attribute) !== text) node.setAttribute(attribute, text);
}

/** A task with a picture. */
export class PicturePanel extends Panel {
  constructor(task, { viewChanged }) {
    super(task);
    this.view = 'prediction';
    this.layers = {};
    this.pinnedLayers = {};
    this.canvas = element('canvas', { width: CANVAS_WIDTH, height: CANVAS_WIDTH * 0.75, role: 'img' });
    this.tell();
    this.hint = element('div', { className: 'p-hint', 'aria-live': 'off' });
    this.body.append(this.canvas, this.hint);
    this.buttons = VIEWS.map(([view, label]) => {
      const button = element('button', { type: 'button', textContent: label, 'aria-pressed': view === this.view });
      button.addEventListener('click', () => {
        this.show(view);
        viewChanged(this);
      });
      return button;
    });
    this.tools.append(...this.buttons);
    this.tools.setAttribute('role', 'group');
    this.tools.setAttribute('aria-label', `view of ${task.title}`);
    // Asking for the width in every frame would lay the page out in the middle of drawing.
    new ResizeObserver(([entry]) => {
      this.shownWidth = entry.contentRect.width;
      this.resize();
      this.draw();
    }).observe(this.canvas);
    this.canvas.addEventListener('pointermove', (event) => this.pointAt(event));
    this.canvas.addEventListener('pointerleave', () => (this.hint.textContent = ''));
  }

  show(view) {
    this.view = view;
    VIEWS.forEach(([name], i) => this.buttons[i].setAttribute('aria-pressed', name === view));
    this.tell();
    this.drawLegend();
    this.draw();
  }

  /** Offer the views that there is something for; the one that is shown must stay among them. */
  offer() {
    const there = { prediction: true, truth: !!this.layers.truth, error: !!this.layers.truth, change: !!this.pinnedAt };
    this.buttons.forEach((button, i) => (button.hidden = !there[VIEWS[i][0]]));
    this.tools.hidden = !there.truth && !there.change;
    if (!there[this.view]) this.show('prediction');
  }

  /** What the canvas shows, for those who do not see it; at λ, where one is given. */
  tell(preference = this.told) {
    this.told = preference;
    const at = this.view === 'truth' || !preference ? '' : ` at λ = ${formatAll(preference)}`;
    this.canvas.setAttribute('aria-label', `${this.task.title}: ${NAMES[this.view]}${at}`);
  }

  /** A new input: its picture, its ground truth and how to read the colours. */
  setScene(input, truth, legend) {
    this.input = input;
    this.read = legend;
    this.layers = { truth };
    this.pinnedLayers = {};
    const first = legend.overlaid ? input ?? truth : truth ?? input;
    if (first) this.aspect = first.height / first.width;
    this.resize();
    this.offer();
    this.colours = legend.colours?.map((c) => parseInt(c.slice(1), 16));
    this.drawLegend();
    this.draw();
  }

  /** Give the canvas the pixels that it is shown with; this clears it. */
  resize() {
    const wanted = Math.min(CANVAS_MOST, Math.round((this.shownWidth || CANVAS_WIDTH) * (window.devicePixelRatio || 1)));
    const height = Math.round(wanted * (this.aspect ?? 0.75));
    this.node.style.setProperty('--aspect', 1 / (this.aspect ?? 0.75));
    if (this.canvas.width !== wanted) this.canvas.width = wanted;
    if (this.canvas.height !== height) this.canvas.height = height;
  }

  setLayer(view, bitmap) {
    this.layers[view]?.close?.();
    this.layers[view] = bitmap;
    this.draw();
  }

  /** Compare with the pinned λ, or (null) no more; left of `wipe` (0 to 1) its picture is drawn. */
  pin(preference) {
    this.pinnedAt = preference;
    this.pinnedLayers = {};
    this.offer();
    this.draw();
  }

  /** The picture of a view at the pinned λ. */
  setPinned(view, bitmap) {
    this.pinnedLayers[view]?.close?.();
    this.pinnedLayers[view] = bitmap;
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const layer = this.view === 'change' ? this.changed() : this.layers[this.view];
    if (!layer && !this.input) return;
    // Opaque, and with square corners: so the browser copies the picture, and has nothing to blend.
    const context = canvas.getContext('2d', { alpha: false });
    if (!layer) {
      context.drawImage(this.input, 0, 0, canvas.width, canvas.height);
      return;
    }
    this.paint(context, layer);
    const pinned = this.pinnedAt && !['truth', 'change'].includes(this.view) && this.pinnedLayers[this.view];
    if (pinned) this.paintPinned(context, pinned);
  }

  paintPinned(context, pinned) {
    const { canvas } = this;
    const edge = Math.round(canvas.width * (this.wipe ?? 0.5));
    context.save();
    context.beginPath();
    context.rect(0, 0, edge, canvas.height);
    context.clip();
    this.paint(context, pinned);
    context.restore();
    context.fillStyle = '#fff';
    context.fillRect(edge - 2, 0, 4, canvas.height);
    const unit = this.unit();
    this.tag(context, 'pinned', 5 * unit, edge > 60 * unit);
    this.tag(context, 'now', edge + 6 * unit, edge < canvas.width - 45 * unit);
  }

  /** The picture of what changed since the pinned λ, once both predictions are here. */
  changed() {
    const [now, before] = [this.layers.prediction, this.pinnedLayers.prediction];
    if (!now || !before || now.width !== before.width) return null;
    const { image, mean } = change(viewOf(this.task), pixelsOf(now), pixelsOf(before), this.read);
    this.meanChange = mean;
    this.changeCanvas ??= element('canvas');
    Object.assign(this.changeCanvas, { width: image.width, height: image.height });
    this.changeCanvas.getContext('2d').putImageData(image, 0, 0);
    this.changeCanvas.pixels = image;
    this.drawLegend();
    return this.changeCanvas;
  }

  paint(context, layer) {
    const { width, height } = context.canvas;
    const classes = this.read?.overlaid;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = 1;
    context.clearRect(0, 0, width, height);
    if (classes && this.input) {
      context.drawImage(this.input, 0, 0, width, height);
      context.globalAlpha = MARKED.includes(this.view) ? 0.85 : OVERLAY;
    }
    context.imageSmoothingEnabled = !classes && !MARKED.includes(this.view);
    context.drawImage(layer, 0, 0, width, height);
    context.globalAlpha = 1;
    if (classes && !MARKED.includes(this.view)) this.label(context, layer);
  }

  /** Names on the larger regions, so that no class is told by its colour alone. */
  label(context, layer) {
    const { width, height } = context.canvas;
    if (!width || !height) return;
    const { data } = pixelsOf(layer);
    const runs = longestRuns(data, layer.width, layer.height, this.colours ?? []);
    const unit = this.unit();
    runs.forEach(({ area, x, y }, index) => {
      if (area < LABEL_SHARE * layer.width * layer.height) return;
      const [px, py] = [((x + 0.5) / layer.width) * width, ((y + 0.5) / layer.height) * height];
      const name = nameTag(this.read.classes[index], unit);
      const at = Math.min(width - name.width, Math.max(0, px - name.width / 2));
      const down = Math.min(height - name.height, Math.max(0, py - name.height / 2));
      context.drawImage(name, Math.round(at), Math.round(down));
    });
  }

  tag(context, text, x, fits) {
    if (!fits) return;
    const unit = this.unit();
    context.font = `600 ${11.5 * unit}px system-ui, sans-serif`;
    context.textAlign = 'left';
    context.textBaseline = 'top';
    const width = context.measureText(text).width + 8 * unit;
    context.fillStyle = 'rgba(0,0,0,.65)';
    context.fillRect(x, 5 * unit, width, 17 * unit);
    context.fillStyle = '#fff';
    context.fillText(text, x + 4 * unit, 8 * unit);
  }

  /** Canvas pixels per CSS pixel: texts on the canvas keep one size on every screen. */
  unit() {
    return this.canvas.width / (this.shownWidth || this.canvas.width);
  }

  /** What lies under the pointer, in words. */
  pointAt(event) {
    const layer = this.view === 'change' ? this.changeCanvas : this.layers[this.view];
    if (!layer || !this.read) return;
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * layer.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * layer.height);
    const { data } = pixelsOf(layer);
    const i = 4 * (Math.max(0, Math.min(layer.height - 1, y)) * layer.width + Math.max(0, Math.min(layer.width - 1, x)));
    this.hint.textContent = this.describe([data[i], data[i + 1], data[i + 2], data[i + 3]]);
  }

  describe([r, g, b, a]) {
    const marked = MARKED.includes(this.view);
    if (this.marks() && marked) {
      if (this.view === 'error') return a > 127 ? `wrong ${this.noun()}` : 'correct';
      return a > 127 ? `another ${this.noun()} than at the pinned λ` : `same ${this.noun()}`;
    }
    if (!marked && this.read.classes) {
      const index = (this.colours ?? []).indexOf((r << 16) | (g << 8) | b);
      return a > 127 && index >= 0 ? this.read.classes[index] : 'unlabelled';
    }
    const { describe } = viewOf(this.task);
    if (!marked && describe) return describe([r, g, b], this.read);
    const scale = marked ? this.read.error : this.read;
    if (!scale?.ramp) return '';
    if (r === 128 && g === 128 && b === 128) return 'unknown';
    const share = alongRamp(scale.ramp, [r, g, b]);
    return withUnit(scale.range[0] + share * (scale.range[1] - scale.range[0]), scale.unit);
  }

  drawLegend() {
    const { read } = this;
    if (!read) return;
    const marked = MARKED.includes(this.view);
    const scale = marked && read.error ? read.error : read;
    if (this.marks() && marked) {
      const what = this.view === 'error' ? `wrong ${this.noun()}` : `another ${this.noun()}`;
      this.legend.replaceChildren(chip(read.wrong ?? WRONG, what), this.meanText());
    } else if (scale.classes) {
      this.legend.replaceChildren(...scale.classes.map((name, i) => chip(scale.colours[i], name)));
    } else if (scale.ramp) {
      this.legend.replaceChildren(...this.rampLegend(scale, marked), this.meanText());
    } else {
      this.legend.replaceChildren(element('span', { textContent: read.text ?? '' }));
    }
  }

  /** Whether errors and changes are places that are marked, not amounts in colours of a ramp. */
  marks() {
    return this.view === 'change' ? !amountOf(viewOf(this.task), this.read) : !this.read.error;
  }

  /** What is right or wrong at a pixel. */
  noun() {
    return this.read.classes ? 'class' : 'answer';
  }

  rampLegend(scale, marked) {
    const bar = element('span', { className: 'p-ramp' });
    bar.style.background = `linear-gradient(90deg, ${scale.ramp.join(', ')})`;
    const words = scale.ends ?? ['', ''];
    const ends = scale.range.map((v, i) => `${marked && i ? '≥ ' : ''}${withUnit(v, scale.unit)} ${words[i]}`.trim());
    return [element('span', { textContent: ends[0] }), bar, element('span', { textContent: ends[1] })];
  }

  meanText() {
    const known = this.view === 'change' && this.meanChange != null;
    const unit = this.marks() ? '%' : this.read.error?.unit;
    const what = unit === '%' ? 'of the pixels' : 'on average';
    return element('span', { textContent: known ? `${withUnit(this.meanChange, unit)} ${what}` : '' });
  }
}

/** A task with class probabilities or numbers. */
export class ValuePanel extends Panel {
  constructor(task) {
    super(task);
    this.pinned = element('span', { className: 'p-kept' });
  }

  setScene(_, truth, legend) {
    this.read = legend;
    this.truth = truth;
    this.rows = null;
    this.pinned.textContent = '';
    this.body.replaceChildren();
  }

  setValues(values) {
    if (!this.read) return;
    if (values.probabilities) this.showBars(values);
    else if (values.rows) this.showRows(values.rows);
    else this.showNumbers(values.numbers);
  }

  showBars({ probabilities, top }) {
    if (!this.rows) {
      this.rows = probabilities.map((_, i) => {
        const fill = element('i');
        const label = element('span', { className: 'p-class', textContent: this.read.classes[i] ?? i });
        const percent = element('span', { className: 'p-percent' });
        const node = element('div', { className: 'p-bar' }, label, element('span', { className: 'p-track' }, fill), percent);
        return { node, fill, percent };
      });
      this.body.replaceChildren(...this.rows.map((row) => row.node));
    }
    this.rows.forEach(({ node, fill, percent }, i) => {
      fill.style.width = `${100 * probabilities[i]}%`;
      percent.textContent = `${(100 * probabilities[i]).toFixed(0)} %`;
      node.classList.toggle('p-top', i === top);
      node.classList.toggle('p-true', i === this.truth?.top);
    });
    const name = (index) => this.read.classes[index] ?? index;
    const known = this.truth?.top != null;
    const verdict = known ? (this.truth.top === top ? '✓ correct' : `✗ truth: ${name(this.truth.top)}`) : '';
    this.legend.replaceChildren(
      element('span', { textContent: `prediction: ${name(top)}` }),
      element('span', { className: 'p-verdict', textContent: verdict }),
      this.pinned,
    );
  }

  showNumbers(numbers) {
    if (numbers?.length > 1) {
      const truths = this.truth?.numbers ?? [];
      this.showRows(numbers.map((number, i) => [`${i + 1}`, withUnit(number, this.read.unit), truths[i]]));
      return;
    }
    const [value, truth] = [numbers?.[0], this.truth?.numbers?.[0]];
    this.body.replaceChildren(element('b', { className: 'p-value', textContent: withUnit(value, this.read.unit) }));
    const text = truth == null ? '' : `truth ${withUnit(truth, this.read.unit)}, off by ${withUnit(Math.abs(value - truth), this.read.unit)}`;
    this.legend.replaceChildren(element('span', { textContent: text }), this.pinned);
  }

  /** Rows of [what, text, truth]; those of the ground truth stand beside them. */
  showRows(rows) {
    const truths = this.truth?.rows;
    const line = ([what, text, truth], i) => {
      const known = truth ?? truths?.[i]?.[1];
      const cells = [what, text, known == null ? '' : `truth ${typeof known === 'number' ? withUnit(known, this.read.unit) : known}`];
      return element('div', { className: 'p-row' }, ...cells.map((textContent) => element('span', { textContent })));
    };
    this.body.replaceChildren(...rows.map(line));
    this.legend.replaceChildren(this.pinned);
  }

  /** Compare with the pinned λ, or (null) no more. */
  pin(preference) {
    if (!preference) this.pinned.textContent = '';
  }

  /** What is predicted at the pinned λ, in words. */
  setPinned({ probabilities, top, numbers, rows }) {
    if (rows) {
      this.pinned.textContent = `pinned: ${rows.map(([, text]) => text).join(', ')}`;
      return;
    }
    const said = probabilities
      ? `${this.read.classes[top] ?? top} (${(100 * probabilities[top]).toFixed(0)} %)`
      : withUnit(numbers?.[0], this.read.unit);
    this.pinned.textContent = `pinned: ${said}`;
  }
}

const chip = (colour, name) => {
  const swatch = element('i');
  swatch.style.background = colour;
  return element('span', { className: 'p-chip' }, swatch, name);
};

const copyOf = (bitmap) => {
  const copy = element('canvas', { width: bitmap.width, height: bitmap.height });
  copy.getContext('2d').drawImage(bitmap, 0, 0);
  return copy;
};

const nameTags = new Map();

/** A name in white with a dark rim, drawn once: text on a canvas of the page has the browser lay the page out first. */
function nameTag(name, unit) {
  const key = `${unit} ${name}`;
  if (nameTags.has(key)) return nameTags.get(key);
  if (nameTags.size > 500) nameTags.clear(); // sizes of a window that is being dragged
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d');
  const font = `600 ${12 * unit}px system-ui, sans-serif`;
  context.font = font;
  canvas.width = Math.ceil(context.measureText(name).width + 6 * unit);
  canvas.height = Math.ceil(16 * unit);
  // A new width has reset the context.
  Object.assign(context, { font, textAlign: 'center', textBaseline: 'middle', lineWidth: 2.5 * unit, lineJoin: 'round' });
  context.strokeStyle = 'rgba(0,0,0,.75)';
  context.strokeText(name, canvas.width / 2, canvas.height / 2);
  context.fillStyle = '#fff';
  context.fillText(name, canvas.width / 2, canvas.height / 2);
  nameTags.set(key, canvas);
  return canvas;
}

const scratch = document.createElement('canvas');

/** RGBA of a layer at its own size. */
export function pixelsOf(layer) {
  if (layer.pixels) return layer.pixels;
  scratch.width = layer.width;
  scratch.height = layer.height;
  const context = scratch.getContext('2d', { willReadFrequently: true });
  context.clearRect(0, 0, layer.width, layer.height);
  context.drawImage(layer, 0, 0);
  return context.getImageData(0, 0, layer.width, layer.height);
}

/** Per class its area and the middle of its longest horizontal run. */
function longestRuns(data, width, height, colours) {
  const found = colours.map(() => ({ area: 0, length: 0, x: 0, y: 0 }));
  const index = new Map(colours.map((colour, i) => [colour, i]));
  for (let y = 0; y < height; y += 1) {
    let start = 0;
    let last = -1;
    for (let x = 0; x <= width; x += 1) {
      const i = 4 * (y * width + x);
      const now = x === width || data[i + 3] < 128 ? -1 : index.get((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]) ?? -1;
      if (now === last && x < width) continue;
      if (last >= 0) {
        const run = found[last];
        run.area += x - start;
        // Rows near the middle of a region win over rows of the same length at its edge.
        if (x - start > run.length * 1.02) Object.assign(run, { length: x - start, x: (start + x - 1) / 2, y });
      }
      [start, last] = [x, now];
    }
  }
  return found;
}

/** Where on a ramp of hex colours a colour lies, 0 to 1. */
function alongRamp(ramp, colour) {
  const stops = ramp.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  let [best, share] = [Infinity, 0];
  for (let i = 0; i + 1 < stops.length; i += 1) {
    for (let step = 0; step <= 16; step += 1) {
      const t = step / 16;
      const off = colour.reduce((sum, v, c) => sum + (stops[i][c] * (1 - t) + stops[i + 1][c] * t - v) ** 2, 0);
      if (off < best) [best, share] = [off, (i + t) / (stops.length - 1)];
    }
  }
  return share;
}
