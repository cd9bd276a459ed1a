// The explorer: pad, sliders, pictures and front around one preference λ, fed by the live socket.

import { pageHere, write } from '../address_bar/address.js';
import '../kinds/index.js';
import { Answers } from './answers.js';
import { Comparison } from './comparison.js';
import { Connection } from './connection.js';
import { Controls } from './controls.js';
import { Evaluated } from './evaluated.js';
import { Figures } from './figures.js';
import { frontIn } from './front.js';
import { decode } from './gallery.js';
import { Handle } from './handle.js';
import { Asking } from './joint.js';
import { Measuring } from './measuring.js';
import { rounded } from './simplex.js';
import { Words } from './words.js';

export class Explorer {
  constructor(root, data) {
    Object.assign(this, { root, data, tasks: data.tasks, image: data.image, preference: rounded(data.preference), seed: data.seed });
    this.command = data.command?.id ?? 0;
    this.find = (name) => root.querySelector(`.p-${name}`);
    this.words = new Words(this.find);
    this.measuring = new Measuring((text) => this.words.say(text));
    this.exact = false; // measurements set it: then no answer comes from the grid computed ahead
    this.page = pageHere();
    this.now = () => this.preference; // what the controls step from
    this.painted = 0;
    this.evaluated = new Evaluated(data.front, data.tasks);
    this.build();
    this.front = frontIn(this.find('front'), root, data, { now: this.now, chosen: (preference) => this.goThere(preference) });
    this.connection = new Connection({
      opened: () => this.opened(),
      closed: () => this.words.say('Connection lost, trying again …', true),
      answered: (header, request) => this.answered(header, request),
      failed: (sentence, request) => this.failed(sentence, request),
    });
    this.asking.connection = this.connection;
    this.comparison.show();
    this.showTold();
    this.show();
    write(this.page, data.address);
    root.explorer = this; // for measurements and tests
  }

  // -- building -----------------------------------------------------------------------------------------------------
  build() {
    const change = (preference, time) => this.set(preference, time);
    this.controls = new Controls(this.find, this.data, { now: this.now, change, commit: () => this.commit(), redraw: () => this.show() });
    this.handle = new Handle({ handle: () => this.controls.pad.show(this.preference), all: () => this.show(), alone: !!this.controls.pad });
    this.asking = new Asking((preference) => this.question(preference), this.seed, (seed) => this.tell(seed));
    const node = this.find('figures');
    this.figures = new Figures(node, this.data, {
      host: (task) => this.asking.host(task, this.tasks),
      asked: () => this.askAll(),
      chosen: (image) => this.choose(image),
      edited: (values) => this.report?.('edit', values),
    });
    this.panels = this.figures.panels;
    this.figures.input.show(this.data, this.image);
    this.comparison = new Comparison(this.find, this);
  }

  // -- changing -----------------------------------------------------------------------------------------------------
  set(preference, time) {
    this.preference = rounded(preference);
    this.panels.forEach((panel) => panel.moved?.());
    this.ask(time, this.exact); // while the handle moves, the nearest λ that is prepared will do
    this.handle.moved();
    this.words.leave();
  }

  /** Bring everything to the present λ. */
  show() {
    this.handle.drawn();
    this.controls.show(this.preference);
    this.words.policy(this.data.controllable ? this.evaluated.policy(this.preference) : '');
    this.front?.show(this.preference);
    this.showMetrics();
  }

  showMetrics() {
    const { kept, figuresOf, keptMetrics } = this.comparison;
    const now = this.onSplit(this.preference);
    const before = kept.compared && { name: kept.against, onSplit: figuresOf(kept.compared), here: keptMetrics ?? {} };
    this.panels.forEach((panel) => panel.showMetrics(now, this.metrics ?? {}, before));
    this.comparison.moved(this.preference, now);
  }

  /** What Python says about λ and the limits. */
  showTold() {
    this.controls.pad?.limit(this.data.told.feasible);
    this.front?.limit(this.data.told.meets);
    this.words.tell(this.data.told.sentences);
  }

  /** Marks of the candidates on pad and front. */
  showMarks() {
    const { marks, pinned } = this.comparison;
    this.controls.pad?.keep(marks);
    this.front?.keep(marks);
    if (!pinned) delete this.root.dataset.pinned;
  }

  /** Figures of the evaluated split at λ; none off the simplex, and none under a picture that is not of that data. */
  onSplit(preference) {
    return this.figures.input.chosen?.foreign ? null : this.evaluated.at(preference);
  }

  choose(image) {
    if (image === this.image) return;
    this.goTo(image);
    this.askAll();
    this.commit();
  }

  goTo(image) {
    this.image = image;
    this.metrics = null;
    this.figures.input.mark(this.image);
    this.askScene();
    this.comparison.goTo(image);
  }

  /** Go to λ and stay there. */
  goThere(preference) {
    this.set(preference, performance.now());
    this.commit();
  }

  commit() {
    this.panels.forEach((panel) => panel.rested?.(this.preference));
    // Once it is released, the handle deserves the very λ it stands on, not the nearest one of the grid.
    this.ask();
    this.tell();
  }

  /** Python keeps the view, perhaps with a new seed, and says what its address is. */
  tell(seed = this.seed) {
    this.seed = seed;
    const { image, preference } = this;
    this.report?.('view', { image, preference, seed, shortlist: this.comparison.kept.report() });
  }

  // -- talking ------------------------------------------------------------------------------------------------------
  opened() {
    this.words.say('');
    if (!this.image) return; // no samples travel with the model, and nobody has sent an input yet
    this.comparison.answers.asked.clear();
    this.askScene();
    this.connection.ask(this.figures.input.gallery.request(this.data.model));
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

  askAll() {
    this.ask();
    this.comparison.answers.forget(this.image);
    this.comparison.ask();
    this.comparison.came();
  }

  question(preference) {
    return { type: 'predict', model: this.data.model, image: this.image, preference, errors: this.figures.errors() };
  }

  answered(header, request) {
    if (!request) return;
    if (this.asking.took(header, request, this.image, this.panels)) return;
    if (header.type === 'gallery') this.figures.input.gallery.fill(header);
    else if (header.type === 'scene') this.showScene(header, request);
    else if (Answers.mine(request)) this.comparison.answers.took(header, request);
    else this.showPrediction(header, request);
  }

  failed(sentence, request) {
    if (request && Answers.mine(request)) this.comparison.answers.asked.delete(request.purpose);
    if (request?.type === 'gallery' || this.asking.failed(request, this.panels)) return;
    this.words.say(sentence, true);
  }

  // -- painting -----------------------------------------------------------------------------------------------------
  async showScene(header, request) {
    const bitmaps = await decode(header);
    if (request.image !== this.image || request !== this.scene) return;
    this.figures.scene(header, bitmaps, { preference: this.preference, pinned: this.comparison.pinned, against: this.comparison.kept.against });
    this.controls.flips(header.flips ?? []);
    this.shown = this.image;
    this.comparison.came();
    if (this.latest?.image === this.image) this.paint(this.latest);
  }

  paintKept(answer) {
    this.figures.paintKept(answer);
    this.root.dataset.pinned = answer.header.preference.join(' ');
  }

  async showPrediction(header, request) {
    const bitmaps = await decode(header);
    if (request.image !== this.image || request.seq < this.painted) return;
    this.painted = request.seq;
    this.latest = { header, bitmaps, image: request.image };
    this.metrics = header.metrics;
    this.handle.round = performance.now() - request.sent;
    this.show();
    this.paint(this.latest);
    requestAnimationFrame(() => this.measuring.note(header, request));
  }

  /** Show an answer. The page says what is painted only with its scene: the answer may be decoded first. */
  paint(answer) {
    this.figures.paint(answer);
    if (this.shown === answer.image) this.root.dataset.painted = answer.header.preference.join(' ');
  }

  // -- from Python --------------------------------------------------------------------------------------------------
  update(data) {
    const images = JSON.stringify(data.images) !== JSON.stringify(this.data.images);
    this.data = data;
    // An answer to what stood here before has not heard of a newer seed.
    write(this.page, { ...data.address, seed: this.seed || '' });
    this.comparison.take(data.shortlist);
    this.showTold();
    if (images) {
      this.figures.input.show(data, this.image);
      this.connection.ask(this.figures.input.gallery.request(data.model));
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
