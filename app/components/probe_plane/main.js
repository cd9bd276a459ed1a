// Probe: heat maps over a plane of preferences and the pictures at the marker, fed by the live socket.

import { pageHere, write } from '../address_bar/address.js';
import '../kinds/index.js';
import { Connection } from '../explorer/connection.js';
import { decode, Gallery, origin, say } from '../explorer/gallery.js';
import { Asking, panelsFor } from '../explorer/joint.js';
import { pixelsOf } from '../explorer/pixels.js';
import { rounded } from '../explorer/simplex.js';
import { Geometry, PlaneMap, table } from './plane.js';

const instances = new WeakMap();

class Probe {
  constructor(root, data) {
    Object.assign(this, { root, data, image: data.image, preference: data.preference, seed: data.seed });
    this.command = data.command?.id ?? 0;
    this.status = root.querySelector('.p-status');
    this.where = root.querySelector('.q-where');
    this.gallery = new Gallery(root.querySelector('.p-gallery'), (image) => this.choose(image));
    this.colours = table(data.ramp);
    this.painted = 0;
    this.page = pageHere();
    this.build();
    this.showImages();
    this.connection = new Connection({
      opened: () => this.opened(),
      closed: () => this.say('Connection lost, trying again …', true),
      answered: (header, request) => this.answered(header, request),
      failed: (sentence, request) => this.failed(sentence, request),
    });
    this.asking.connection = this.connection;
    this.setLayers();
    this.show();
    write(this.page, data.address);
    root.explorer = this; // for tests
  }

  // -- building -----------------------------------------------------------------------------------------------------
  build() {
    const { data } = this;
    this.geometry = new Geometry(data.plane);
    const { first, second, rest } = data.plane;
    const titles = [first, second, rest].filter((t) => t !== null).map((t) => data.titles[t]);
    const options = { change: (at, time) => this.set(this.at(at), time), commit: () => this.commit(), items: data.samples };
    this.maps = data.tasks.map((task) => new PlaneMap(task, this.geometry, titles, options));
    const seeded = (seed) => {
      this.seed = seed;
      this.tell();
    };
    this.asking = new Asking((preference) => this.question(preference), this.seed, seeded);
    const host = (task) => this.asking.host(task, data.tasks);
    this.panels = panelsFor(data.tasks, () => this.ask(undefined, true), host);
    const grid = this.root.querySelector('.q-grid');
    grid.append(...this.maps.map((map) => map.node), ...this.panels.map((panel) => panel.node));
    [this.maps, this.panels].forEach((nodes) => nodes.forEach((part, t) => part.node.style.setProperty('--row', t)));
    grid.style.setProperty('--columns', { 1: 2, 2: 4, 3: 3 }[data.tasks.length] ?? 4);
  }

  /** λ [T] at (u, v). */
  at([u, v]) {
    const { first, second, rest, count } = this.data.plane;
    const preference = Array(count).fill(0);
    preference[first] = u;
    if (second !== null) preference[second] = v;
    if (rest !== null) preference[rest] = 1 - u - v;
    return rounded(preference);
  }

  showImages() {
    this.gallery.show(this.data.images, this.image, this.data.pictures);
  }

  setLayers() {
    this.maps.forEach((map) => map.setLayer(this.data.layers.find((layer) => layer.task === map.task.name) ?? null, this.colours));
  }

  // -- changing -----------------------------------------------------------------------------------------------------
  set(preference, time) {
    this.preference = preference;
    this.panels.forEach((panel) => panel.moved?.());
    this.show();
    this.ask(time);
  }

  show() {
    const { first, second } = this.data.plane;
    const place = [this.preference[first], second === null ? 0 : this.preference[second]];
    const inside = this.at(place).every((value, t) => Math.abs(value - this.preference[t]) < 2e-3);
    this.maps.forEach((map) => map.show(place, inside));
    const numbers = this.preference.length <= 3 ? this.preference : place;
    const text = numbers.map((v) => v.toFixed(2).replace('-', '−')).join(', ');
    const sum = this.preference.reduce((a, b) => a + b, 0);
    const trained = Math.abs(sum - 1) < 2e-3 && this.preference.every((v) => v > -1e-6);
    this.where.textContent = `λ = (${text}) · ${trained ? 'on the simplex' : 'off the simplex: never trained on'}`;
  }

  choose(image) {
    if (image === this.image) return;
    this.image = image;
    this.gallery.mark(this.image);
    this.askScene();
    this.ask();
    this.commit();
  }

  commit() {
    this.panels.forEach((panel) => panel.rested?.(this.preference));
    this.ask(undefined, true);
    this.tell();
  }

  /** Tell the address and the server what is on screen. */
  tell() {
    const { image, preference, seed } = this;
    const sample = image.startsWith('sample-') ? image : '';
    write(this.page, { ...this.data.address, preference: preference.join(), sample, seed: seed || '' });
    this.report?.('view', { image, preference, seed });
  }

  // -- talking ------------------------------------------------------------------------------------------------------
  opened() {
    this.say('');
    if (!this.image) return;
    this.askScene();
    this.connection.ask(this.gallery.request(this.data.model));
    this.ask(undefined, true);
  }

  askScene() {
    this.scene = this.connection.ask({ type: 'scene', model: this.data.model, image: this.image });
  }

  ask(time, exact = false) {
    if (!this.image) return;
    this.connection.predict({ ...this.question(this.preference), exact, since: time });
  }

  question(preference) {
    const errors = this.panels.filter((panel) => panel.view === 'error').map((panel) => panel.task.name);
    return { type: 'predict', model: this.data.model, image: this.image, preference, errors };
  }

  failed(sentence, request) {
    if (request?.type === 'gallery' || this.asking.failed(request, this.panels)) return;
    this.say(sentence, true);
  }

  async answered(header, request) {
    if (!request || this.asking.took(header, request, this.image, this.panels)) return;
    if (header.type === 'gallery') return this.gallery.fill(header);
    const bitmaps = await decode(header);
    if (request.image !== this.image) return;
    if (header.type === 'scene') this.showScene(header, bitmaps);
    else if (request.seq > this.painted) this.showPrediction(header, bitmaps, request);
  }

  say(text, problem) {
    say(this.status, text, problem);
  }

  // -- painting -----------------------------------------------------------------------------------------------------
  showScene(header, bitmaps) {
    const found = (view, task) => bitmaps[header.pictures.findIndex((p) => p.view === view && p.task === task)];
    this.panels.forEach((panel) => {
      const entry = header.tasks[panel.task.name];
      panel.setScene(found('input'), panel.canvas ? found('truth', panel.task.name) : entry.truth, entry.legend, this);
    });
    this.shown = this.image;
    if (this.latest?.image === this.image) this.paint(this.latest);
  }

  showPrediction(header, bitmaps, request) {
    this.painted = request.seq;
    this.latest = { header, bitmaps, image: request.image };
    this.panels.forEach((panel) => panel.showMetrics(null, header.metrics));
    this.paint(this.latest);
    this.say(origin(header));
  }

  /** As in the explorer: what is painted is told with its scene. */
  paint({ header, bitmaps, image }) {
    const panelOf = (name) => this.panels.find((panel) => panel.task.name === name);
    header.pictures.forEach((picture, i) => {
      panelOf(picture.task)?.setLayer(picture.view, bitmaps[i]);
      panelOf(picture.task)?.tell(header.preference);
    });
    for (const [task, values] of Object.entries(header.values)) panelOf(task)?.setValues(values, header.preference);
    if (this.shown === image) this.root.dataset.painted = header.preference.join(' ');
  }

  /** Pixels of a task's picture as they came from the server, RGBA; for tests. */
  pixels(task) {
    const panel = this.panels.find((p) => p.task.name === task);
    return Array.from(pixelsOf(panel.layers[panel.view]).data);
  }

  // -- from Python --------------------------------------------------------------------------------------------------
  update(data) {
    const layers = JSON.stringify(data.layers) !== JSON.stringify(this.data.layers);
    const images = JSON.stringify(data.images) !== JSON.stringify(this.data.images);
    this.data = data;
    // An answer to what stood here before has not heard of a newer seed.
    write(this.page, { ...data.address, seed: this.seed || '' });
    if (layers) this.setLayers();
    if (images) this.showImages();
    if (!data.command || data.command.id === this.command) return;
    this.command = data.command.id;
    this.set(data.command.preference);
    this.panels.forEach((panel) => panel.rested?.(this.preference));
    this.ask(undefined, true);
  }

  end() {
    this.connection.end();
  }
}

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector('.palora');
  let probe = instances.get(root);
  if (probe) probe.update(data);
  else instances.set(root, (probe = new Probe(root, data)));
  probe.report = setStateValue;
  return () => setTimeout(() => root.isConnected || probe.end(), 0);
}
