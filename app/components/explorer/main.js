// The explorer: pad, sliders, pictures and front around one preference λ, fed by the live socket.

import { pageHere, write } from '../address_bar/address.js';
import '../kinds/index.js';
import { Connection } from './connection.js';
import { FrontPlot } from './front.js';
import { decode, Gallery, origin, say, tell } from './gallery.js';
import { Asking, panelsFor } from './joint.js';
import { Pad } from './pad.js';
import { element } from './panels.js';
import { pixelsOf } from './pixels.js';
import { policy } from './policy.js';
import { RecordForm } from './record.js';
import { centre, formatAll, Interpolator, project, rounded, Scale } from './simplex.js';
import { Sliders } from './sliders.js';

const instances = new WeakMap();
const KEPT_TIMES = 2000;
// A drawing of the page costs more than a picture's way here, so one that follows the handle waits for the answer that
// is on its way: this many ms where answers are quick, and at most so many where they are not.
const SOON = 24;
const PATIENCE = 150;
const BEHIND = 7.5; // ms that timers come late where a page has no time for drawings in between
const FIXED = 'This network was trained for one trade-off: it has no λ to steer. Choose a model with a front to drag one.';
const LEGIBLE = 250; // ms that a number stays

class Explorer {
  constructor(root, data) {
    Object.assign(this, { root, data, tasks: data.tasks, image: data.image, preference: rounded(data.preference) });
    this.command = data.command?.id ?? 0;
    this.find = (name) => root.querySelector(`.p-${name}`);
    this.status = this.find('status');
    this.times = [];
    this.exact = false; // measurements set it: then no answer comes from the grid computed ahead
    this.pinned = data.pinned; // λ to compare with, or null
    this.seed = data.seed; // of what is drawn at random
    this.page = pageHere();
    this.now = () => this.preference; // what the controls step from
    this.round = this.late = 0; // ms: of the last answer's way; of the page behind its timers, smoothed
    this.painted = 0;
    this.told = 0; // ms: when the status was last written
    this.around = data.front ? new Interpolator(data.front.preferences) : null;
    this.buildControls();
    this.buildPanels();
    this.showImages();
    this.buildFront();
    this.connection = new Connection({
      opened: () => this.opened(),
      closed: () => this.say('Connection lost, trying again …', true),
      answered: (header, request) => this.answered(header, request),
      failed: (sentence, request) => this.failed(sentence, request),
    });
    this.asking.connection = this.connection;
    this.showPin();
    this.show();
    write(this.page, data.address);
    root.explorer = this; // for measurements and tests
  }

  // -- building -----------------------------------------------------------------------------------------------------
  buildControls() {
    this.scale = new Scale(this.data.even);
    const change = (preference, time) => this.set(preference, time);
    const options = { now: this.now, change, commit: () => this.commit(), scale: this.scale };
    const node = this.find('pad');
    const drawn = this.data.controllable && (this.tasks.length === 2 || this.tasks.length === 3);
    if (drawn) this.pad = new Pad(node, this.tasks, options);
    else node.remove();
    this.sliders = new Sliders(this.find('sliders'), this.tasks, options);
    this.find('balance').addEventListener('click', (event) => {
      this.set(centre(this.tasks.length), event.timeStamp);
      this.commit();
    });
    const steered = this.tasks.length > 1 && this.data.controllable;
    this.find('balance').hidden = this.find('pin').hidden = !steered;
    this.find('fixed').hidden = steered;
    this.find('fixed').textContent = this.data.controllable ? '' : FIXED;
    if (!this.data.controllable) {
      this.find('sliders').hidden = true;
      this.root.querySelector('.p-card h3').textContent = 'One solution';
    }
    this.find('pin').addEventListener('click', () => this.pin(!this.pinned));
    this.find('wipe').querySelector('input').addEventListener('input', (event) => this.setWipe(event.target.value / 100));
    const even = this.find('even');
    even.hidden = !this.data.even || !this.data.controllable;
    even.querySelector('input').addEventListener('change', (event) => {
      this.scale.on = event.target.checked;
      if (this.pad?.marked) this.pad.mark(this.pad.marked);
      this.show();
    });
  }

  buildPanels() {
    const seeded = (seed) => {
      this.seed = seed;
      this.tell();
    };
    this.asking = new Asking((preference) => this.question(preference), this.seed, seeded);
    const host = (task) => this.asking.host(task, this.tasks);
    this.panels = panelsFor(this.tasks, () => this.askAll(), host);
    this.inputCanvas = element('canvas', { width: 640, height: 480, role: 'img', 'aria-label': 'input' });
    const head = element('header', {}, element('h3', { textContent: 'Input' }));
    const row = element('div', { className: 'p-gallery', role: 'radiogroup', 'aria-label': 'Input' });
    this.gallery = new Gallery(row, (image) => this.choose(image));
    this.inputTold = element('div', { className: 'p-told', hidden: this.data.pictures || this.panels.some((panel) => panel.showsInput) });
    this.form = new RecordForm(this.inputTold, (values) => this.report?.('edit', values));
    const body = element('div', { className: 'p-body', hidden: !this.data.pictures }, this.inputCanvas);
    this.notice = element('p', { className: 'p-notice', hidden: true });
    const rule = element('p', { className: 'p-rule', textContent: this.data.chosen, hidden: !this.data.chosen });
    this.inputPanel = element('section', { className: 'p-panel p-input', 'aria-label': 'Input' }, head, body, this.inputTold, this.notice, row, rule);
    const figures = this.find('figures');
    figures.append(this.inputPanel, ...this.panels.map((panel) => panel.node));
    const [count, drawn] = [this.tasks.length, this.panels.some((panel) => panel.canvas)];
    figures.classList.toggle('p-texts', this.panels.some((panel) => panel.showsInput));
    figures.classList.toggle('p-plenty', count > 6 && this.panels.length > 1);
    figures.classList.toggle('p-bars', count === 2 && !drawn);
    figures.classList.toggle('p-even-pairs', count % 2 === 0 && count <= 6 && drawn);
    // Of one task the picture may be as tall as two of several.
    if (count === 1) figures.style.setProperty('--tall', 'max(200px, calc(100svh - 300px))');
    figures.addEventListener('pointerdown', (event) => this.dragWipe(event));
    figures.addEventListener('pointermove', (event) => event.buttons & 1 && this.dragWipe(event));
  }

  buildFront() {
    const card = this.find('front');
    card.hidden = !this.data.front || this.tasks.length === 1 || !this.data.controllable;
    if (card.hidden) return;
    if (this.tasks.length > 6) this.root.append(card); // many parallel axes need the whole width
    card.querySelector('.p-about').textContent = this.data.front.about;
    Object.assign(this.find('effect'), { textContent: this.data.front.effect, hidden: !this.data.front.effect });
    const chosen = (preference) => {
      this.set(project(preference), performance.now());
      this.commit();
    };
    this.front = new FrontPlot(card, this.data.front, this.tasks, { now: this.now, chosen });
  }

  showImages() {
    this.gallery.show(this.data.images, this.image, this.data.pictures);
    this.showNotice();
  }

  /** What is to be known of a picture that is not from the model's own data. */
  showNotice() {
    this.chosen = this.data.images.find(({ id }) => id === this.image);
    this.notice.textContent = this.chosen?.note ?? '';
    this.notice.hidden = !this.chosen?.note;
  }

  // -- changing -----------------------------------------------------------------------------------------------------
  set(preference, time) {
    this.preference = rounded(preference);
    this.panels.forEach((panel) => panel.moved?.());
    this.ask(time, this.exact); // while the handle moves, the nearest λ that is prepared will do
    this.moveHandle();
    this.overdue ??= setTimeout(() => this.show(), this.pad ? PATIENCE : 0);
  }

  /** Move the handle alone, unless an answer comes first; the less time the page has, the later. */
  moveHandle() {
    if (this.moving || !this.pad) return;
    const wait = this.round < SOON ? SOON : PATIENCE * Math.min(1, this.late / BEHIND);
    const due = performance.now() + wait;
    this.moving = setTimeout(() => {
      this.moving = null;
      this.late += 0.3 * (performance.now() - due - this.late);
      this.pad.show(this.preference, this.pinned);
    }, wait);
  }

  /** Bring everything to the present λ. */
  show() {
    for (const timer of [this.moving, this.overdue]) clearTimeout(timer);
    this.moving = this.overdue = null;
    this.late *= 0.8;
    this.pad?.show(this.preference, this.pinned);
    this.sliders.show(this.preference);
    this.showPolicy();
    this.front?.show(this.preference, this.pinned);
    this.showMetrics();
  }

  showPolicy() {
    if (!this.tasks.some((task) => task.policy) || !this.around || !this.data.controllable) return;
    const columns = new Map(this.data.front.columns.map((column) => [column.key, column.values]));
    const at = (key, preference) => (columns.has(key) ? this.around.value(columns.get(key), preference) : null);
    const text = policy(this.tasks, at, this.preference);
    const node = this.find('policy');
    if (node.textContent !== text) Object.assign(node, { textContent: text, hidden: !text });
  }

  showMetrics() {
    const now = this.onSplit(this.preference);
    const kept = this.pinned && this.onSplit(this.pinned);
    this.panels.forEach((panel) => {
      panel.showMetrics(now, this.metrics ?? {}, this.pinned && { onSplit: kept, here: this.keptMetrics ?? {} });
    });
  }

  /** Figures of the evaluated split at λ; none off the simplex, and none under a picture that is not of that data. */
  onSplit(preference) {
    if (!this.data.front || this.chosen?.foreign || !preference.every((v) => v > -1e-6)) return null;
    return Object.fromEntries(this.data.front.columns.map((column) => [column.key, this.around.value(column.values, preference)]));
  }

  choose(image) {
    if (image === this.image) return;
    this.goTo(image);
    this.askAll();
    this.commit();
  }

  goTo(image) {
    this.image = image;
    this.metrics = this.keptMetrics = null;
    this.gallery.mark(this.image);
    this.showNotice();
    this.askScene();
  }

  /** Pin the present λ, or release it: it stays from sample to sample and from page to page. */
  pin(on) {
    this.pinned = on ? [...this.preference] : null;
    this.keptMetrics = null;
    this.showPin();
    this.show();
    this.askPinned();
    this.commit();
  }

  showPin() {
    const on = !!this.pinned;
    const button = this.find('pin');
    button.setAttribute('aria-pressed', on);
    button.textContent = on ? 'Unpin' : 'Pin to compare';
    const wipe = this.find('wipe');
    wipe.hidden = !this.data.controllable || !this.panels.some((panel) => panel.canvas);
    wipe.classList.toggle('p-waiting', !on);
    if (on) wipe.querySelector('span').textContent = `pinned ${formatAll(this.pinned)} | now`;
    this.panels.forEach((panel) => panel.pin(this.pinned));
    this.pad?.show(this.preference, this.pinned);
  }

  setWipe(share) {
    this.find('wipe').querySelector('input').value = 100 * share;
    this.panels.forEach((panel) => {
      panel.wipe = share;
      if (panel.canvas) panel.draw();
    });
  }

  dragWipe(event) {
    if (!this.pinned || event.target.tagName !== 'CANVAS' || event.target === this.inputCanvas) return;
    const box = event.target.getBoundingClientRect();
    this.setWipe(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  }

  commit() {
    this.panels.forEach((panel) => panel.rested?.(this.preference));
    // Once it is released, the handle deserves the very λ it stands on, not the nearest one of the grid.
    this.ask();
    this.tell();
  }

  /** Tell the address and the server what is on screen. */
  tell() {
    const { image, preference, pinned, seed } = this;
    const sample = image.startsWith('sample-') ? image : '';
    write(this.page, { ...this.data.address, preference: preference.join(), pinned: pinned?.join(), sample, seed: seed || '' });
    this.report?.('view', { image, preference, pinned, seed });
  }

  // -- talking ------------------------------------------------------------------------------------------------------
  opened() {
    this.say('');
    if (!this.image) return; // no samples travel with the model, and nobody has sent an input yet
    this.askScene();
    this.connection.ask(this.gallery.request(this.data.model));
    this.askAll();
  }

  askScene() {
    this.scene = this.connection.ask({ type: 'scene', model: this.data.model, image: this.image });
  }

  /** Ask for the pictures at λ: at this very one, or at the nearest of the grid that is computed ahead. */
  ask(time, exact = true) {
    if (!this.image) return;
    this.connection.predict({ ...this.question(this.preference), exact, since: time });
  }

  askPinned() {
    if (this.pinned && this.image) this.connection.predict({ ...this.question(this.pinned), exact: true }, 'pinned');
  }

  askAll() {
    this.ask();
    this.askPinned();
  }

  question(preference) {
    const errors = this.panels.filter((panel) => panel.view === 'error').map((panel) => panel.task.name);
    return { type: 'predict', model: this.data.model, image: this.image, preference, errors };
  }

  answered(header, request) {
    if (!request) return;
    if (this.asking.took(header, request, this.image, this.panels)) return;
    if (header.type === 'gallery') this.gallery.fill(header);
    else if (header.type === 'scene') this.showScene(header, request);
    else if (request.purpose === 'pinned') this.showPinned(header, request);
    else this.showPrediction(header, request);
  }

  failed(sentence, request) {
    if (request?.type === 'gallery' || this.asking.failed(request, this.panels)) return;
    this.say(sentence, true);
  }

  say(text, problem) {
    say(this.status, text, problem);
  }

  // -- painting -----------------------------------------------------------------------------------------------------
  async showScene(header, request) {
    const bitmaps = await decode(header);
    if (request.image !== this.image || request !== this.scene) return;
    const found = (view, task) => bitmaps[header.pictures.findIndex((p) => p.view === view && p.task === task)];
    const input = found('input', undefined);
    if (input) {
      this.inputCanvas.height = Math.round((this.inputCanvas.width * input.height) / input.width);
      this.inputPanel.style.setProperty('--aspect', input.width / input.height);
      this.inputCanvas.setAttribute('aria-label', `input: ${this.chosen?.label ?? 'a picture'}`);
      this.inputCanvas.getContext('2d').drawImage(input, 0, 0, this.inputCanvas.width, this.inputCanvas.height);
    }
    if (header.input?.fields) this.form.show(header.input.fields);
    else if (header.input) tell(this.inputTold, header.input);
    this.showFlips(header.flips ?? []);
    this.panels.forEach((panel) => {
      const entry = header.tasks[panel.task.name];
      const truth = panel.canvas ? found('truth', panel.task.name) : entry.truth;
      panel.setScene(input, truth, entry.legend, { preference: this.preference, pinned: this.pinned });
    });
    this.shown = this.image;
    if (this.kept?.image === this.image) this.paintPinned(this.kept);
    if (this.latest?.image === this.image) this.paint(this.latest);
  }

  /** Where the decisions about this input flip, on the pad and in words. */
  showFlips(flips) {
    this.pad?.mark(flips.flatMap(({ marks }) => marks));
    Object.assign(this.find('flips'), { textContent: flips.map(({ told }) => told).join('; '), hidden: !flips.length });
  }

  async showPinned(header, request) {
    const bitmaps = await decode(header);
    if (request.image !== this.image || request.preference.join() !== this.pinned?.join()) return;
    this.kept = { header, bitmaps, image: request.image };
    this.keptMetrics = header.metrics;
    this.showMetrics();
    if (this.shown === this.image) this.paintPinned(this.kept);
  }

  paintPinned({ header, bitmaps }) {
    header.pictures.forEach((picture, i) => this.panelOf(picture.task)?.setPinned(picture.view, bitmaps[i]));
    for (const [task, values] of Object.entries(header.values)) this.panelOf(task)?.setPinned(values);
    this.root.dataset.pinned = header.preference.join(' ');
  }

  panelOf(name) {
    return this.panels.find((panel) => panel.task.name === name);
  }

  async showPrediction(header, request) {
    const bitmaps = await decode(header);
    if (request.image !== this.image || request.seq < this.painted) return;
    this.painted = request.seq;
    this.latest = { header, bitmaps, image: request.image };
    this.metrics = header.metrics;
    this.round = performance.now() - request.sent;
    this.show();
    this.paint(this.latest);
    requestAnimationFrame(() => this.note(header, request));
  }

  /** Show an answer. The page says what is painted only with its scene: the answer may be decoded first. */
  paint({ header, bitmaps, image }) {
    header.pictures.forEach((picture, i) => {
      const panel = this.panelOf(picture.task);
      panel?.setLayer(picture.view, bitmaps[i]);
      panel?.tell(header.preference);
    });
    for (const [task, values] of Object.entries(header.values)) {
      this.panelOf(task)?.setValues(values, header.preference);
    }
    if (this.shown === image) this.root.dataset.painted = header.preference.join(' ');
  }

  note(header, request) {
    const now = performance.now();
    const time = { at: now, cached: header.cached, network: header.network_ms, round: now - request.sent };
    if (request.since !== undefined) time.latency = now - request.since;
    this.times.push(time);
    if (this.times.length > KEPT_TIMES) this.times.shift();
    // Nobody reads faster, and what is written after a frame was laid out has it laid out again.
    if (time.latency !== undefined && now - this.told < LEGIBLE) return;
    this.told = now;
    const near = header.preference.some((v, t) => Math.abs(v - request.preference[t]) > 1e-6);
    const at = near ? ` · while moving, pictures of the nearest prepared λ = ${formatAll(header.preference)}` : '';
    const shown = time.latency === undefined ? '' : `${time.latency.toFixed(0)} ms from input to pixels, `;
    this.say(`${shown}${origin(header)}${at}`);
  }

  /** Pixels of a task's picture as they came from the server, RGBA; for tests. */
  pixels(task) {
    const panel = this.panelOf(task);
    return Array.from(pixelsOf(panel.layers[panel.view]).data);
  }

  // -- from Python --------------------------------------------------------------------------------------------------
  update(data) {
    const images = JSON.stringify(data.images) !== JSON.stringify(this.data.images);
    this.data = data;
    write(this.page, data.address);
    if (images) {
      this.showImages();
      this.connection.ask(this.gallery.request(data.model));
    }
    if (!data.command || data.command.id === this.command) return;
    this.command = data.command.id;
    if (data.command.image && data.command.image !== this.image) this.goTo(data.command.image);
    if (data.command.preference) this.preference = rounded(data.command.preference);
    this.show();
    this.panels.forEach((panel) => panel.rested?.(this.preference));
    this.askAll();
  }

  end() {
    this.connection.end();
  }
}

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector('.palora');
  let explorer = instances.get(root);
  if (explorer) explorer.update(data);
  else instances.set(root, (explorer = new Explorer(root, data)));
  explorer.report = setStateValue;
  return () => setTimeout(() => root.isConnected || explorer.end(), 0);
}
