// The panel of a task with a picture: prediction, ground truth, error or change, beside or over the input.

import { viewOf } from '../kinds/base.js';
import { change } from './changes.js';
import { Colouring, MARKED } from './colouring.js';
import { element, Panel } from './panels.js';
import { labelRegions, pixelsOf, tag } from './pixels.js';
import { formatAll } from './simplex.js';

const VIEWS = [['prediction', 'Prediction'], ['truth', 'Truth'], ['error', 'Error'], ['change', 'Change']];
const NAMES = {
  prediction: 'prediction', truth: 'ground truth', error: 'where the prediction is wrong', change: 'what differs from the λ to compare with',
};
// Canvases have the screen's own pixels, so that labels are sharp and nothing is drawn that is scaled away again.
const CANVAS_WIDTH = 320; // until a panel knows how wide it is shown
const CANVAS_MOST = 1280;
const OVERLAY = 0.62;

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

  /** Compare with the candidate of a name at λ, or (null) no more; left of `wipe` (0 to 1) its picture is drawn. */
  pin(preference, name) {
    this.pinnedAt = preference;
    this.against = name;
    this.pinnedLayers = {};
    this.offer();
    this.draw();
  }

  /** The picture of a view at the λ to compare with; whoever gives it keeps it. */
  setPinned(view, bitmap) {
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
    if (edge > 60 * unit) tag(context, this.against, 5 * unit, unit);
    if (edge < canvas.width - 45 * unit) tag(context, 'now', edge + 6 * unit, unit);
  }

  /** The picture of what differs from the λ to compare with, once both predictions are here. */
  changed() {
    const found = this.difference(this.layers.prediction, this.pinnedLayers.prediction);
    if (!found) return null;
    this.meanChange = found.mean;
    this.changeCanvas = found.picture;
    this.drawLegend();
    return this.changeCanvas;
  }

  /** What differs between two predictions: a picture, its mean, and that in words; null where they are not alike. */
  difference(now, before) {
    if (!now || !before || now.width !== before.width || !this.read) return null;
    const { image, mean } = change(viewOf(this.task), pixelsOf(now), pixelsOf(before), this.read);
    const picture = element('canvas', { width: image.width, height: image.height });
    picture.getContext('2d').putImageData(image, 0, 0);
    return { picture: Object.assign(picture, { pixels: image }), mean, told: this.colouring().mean(mean) };
  }

  /** Draw a layer of a view into any canvas, as large as that is; unit: its pixels per pixel of the screen. */
  paint(context, layer, view = this.view, unit = this.unit()) {
    const { width, height } = context.canvas;
    const classes = this.read?.overlaid;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = 1;
    context.clearRect(0, 0, width, height);
    if (classes && this.input) {
      context.drawImage(this.input, 0, 0, width, height);
      context.globalAlpha = MARKED.includes(view) ? 0.85 : OVERLAY;
    }
    context.imageSmoothingEnabled = !classes && !MARKED.includes(view);
    context.drawImage(layer, 0, 0, width, height);
    context.globalAlpha = 1;
    if (classes && !MARKED.includes(view)) labelRegions(context, layer, this.read, unit);
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
    this.hint.textContent = this.colouring().describe(this.view, [data[i], data[i + 1], data[i + 2], data[i + 3]]);
  }

  drawLegend() {
    if (this.read) this.legend.replaceChildren(...this.colouring().legend(this.view, this.meanChange));
  }

  /** How the colours of this panel are read. */
  colouring() {
    return new Colouring(viewOf(this.task), this.read);
  }
}
