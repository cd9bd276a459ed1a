// Runs the embedded network in this page: unpack, infer, draw; one inference at a time, the newest preference wins.

import { viewOf } from '../../kinds/base.js';
import { Pad } from '../../components/explorer/pad.js';
import { centre, format, formatAll, Scale, setWeight } from '../../components/explorer/simplex.js';

const byId = (id) => document.getElementById(id);
const config = JSON.parse(byId('config').textContent);
const count = config.tasks.length;
const MOST_NUMBERS = 12; // of an output that nothing knows how to draw
const ARRAYS = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array, int16: Int16Array, int8: Int8Array, uint8: Uint8Array, bool: Uint8Array };

async function unpack(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const row = (what, text, also = '') => element('div', {}, `${what} `, element('b', {}, text), also);

class Panel {
  constructor(task) {
    this.task = task;
    this.view = viewOf(task);
    this.node = element('div', { class: 'panel', 'data-task': task.name }, element('h2', {}, task.title));
    this.body = element('div');
    if (this.drawn()) this.addPicture();
    this.node.append(this.body);
    if (task.classes && this.drawn()) this.node.append(this.classLegend());
    if (task.ramp && this.drawn()) this.node.append(this.rampLegend());
    byId('panels').append(this.node);
  }

  drawn() {
    return this.task.pictured && !!this.view.paint;
  }

  addPicture() {
    this.canvas = element('canvas', { role: 'img', 'aria-label': `prediction of ${this.task.title}` });
    this.truth = element('img', { alt: `ground truth of ${this.task.title}`, hidden: '' });
    this.body.append(this.canvas, this.truth);
    const buttons = ['Prediction', 'Ground truth'].map((name, i) => {
      const button = element('button', { type: 'button', 'aria-pressed': String(i === 0) }, name);
      button.addEventListener('click', () => {
        this.canvas.hidden = i === 1;
        this.truth.hidden = i === 0;
        buttons.forEach((other) => other.setAttribute('aria-pressed', String(other === button)));
      });
      return button;
    });
    this.node.append(element('div', { class: 'views' }, ...buttons));
  }

  classLegend() {
    const legend = element('div', { class: 'legend' });
    this.task.classes.slice(0, 20).forEach((name, i) => {
      legend.append(element('span', {}, element('i', { style: `background:${this.task.colours[i]}` }), name));
    });
    return legend;
  }

  rampLegend() {
    const bar = element('span', { class: 'ramp', style: `background:linear-gradient(90deg, ${this.task.ramp.join(',')})` });
    const [low, high] = this.task.range.map((v, i) => `${Number(v.toPrecision(3))} ${this.task.unit} ${this.task.ends?.[i] ?? ''}`.trim());
    return element('div', { class: 'legend' }, low, bar, high);
  }

  show(sample) {
    this.expected = sample.truth[this.task.name];
    if (this.truth && this.expected) this.truth.src = this.expected;
    if (!this.drawn() || !this.task.overlaid || !sample.picture) return;
    const background = `url(${sample.picture}) center / 100% 100%`;
    for (const layer of [this.canvas, this.truth]) Object.assign(layer.style, { background, aspectRatio: sample.aspect });
  }

  draw({ data, dims }) {
    if (!this.drawn()) {
      const told = this.view.values?.(this.task, data) ?? { numbers: Array.from(data.slice(0, MOST_NUMBERS)) };
      this.body.replaceChildren(...(told.probabilities ? this.bars(told.probabilities) : told.rows ? this.rows(told.rows) : [this.number(told.numbers)]));
      return;
    }
    const [height, width] = this.view.size?.(this.task, dims) ?? dims.slice(-2);
    Object.assign(this.canvas, { width, height });
    const image = new ImageData(width, height);
    this.view.paint(this.task, data, image.data, width * height);
    this.canvas.getContext('2d').putImageData(image, 0, 0);
  }

  /** Rows of [what, text]; a truth in the same form stands beside them. */
  rows(told) {
    return told.map(([what, text], i) => {
      const known = this.expected?.rows?.[i]?.[1];
      return row(what, text, known ? `  (truth ${known})` : '');
    });
  }

  bars(probabilities) {
    return probabilities.map((part, i) => {
      const bar = element('div', { style: `width:${100 * part}%` });
      const name = element(i === this.expected?.top ? 'b' : 'span', { style: 'text-align:left' });
      name.textContent = (i === this.expected?.top ? '✓ ' : '') + (this.task.classes?.[i] ?? i);
      return element('div', { class: 'bar' }, name, element('div', { style: 'background:none' }, bar), element('span', {}, part.toFixed(2)));
    });
  }


  number(numbers) {
    const written = (values, digits) => values.map((v) => (v == null ? '?' : Number(v.toPrecision(digits)))).join(', ');
    const known = this.task.pictured ? null : this.expected?.numbers;
    const told = known ? `  (truth ${written(known, 3)})` : '';
    return element('div', {}, element('span', { class: 'number' }, `${written(numbers, 4)} ${this.task.unit}`.trim()), told);
  }
}

class Player {
  constructor(ort, session, inputs) {
    Object.assign(this, { ort, session, inputs, busy: false, wanted: null, sample: 0, times: [] });
    this.panels = config.tasks.filter((task) => task.predicts).map((task) => new Panel(task));
    this.preference = centre(count);
    this.steer();
    this.gallery();
    if (config.samples.some((sample) => sample.input)) this.told = this.inputPanel();
    this.choose(0);
  }

  steer() {
    byId('pad').toggleAttribute('hidden', !config.controllable || count < 2 || count > 3);
    const change = (preference) => this.set(preference);
    if (config.controllable && (count === 2 || count === 3)) {
      const scale = new Scale(null);
      this.pad = new Pad(byId('pad'), config.tasks, { now: () => this.preference, change, commit: () => {}, scale });
    }
    if (!config.controllable || count < 2) return;
    this.sliders = config.tasks.map((task, t) => {
      const input = element('input', { type: 'range', min: 0, max: 1, step: 0.01, 'aria-label': `weight of ${task.title}` });
      input.addEventListener('input', () => change(setWeight(this.preference, t, Number(input.value))));
      const value = element('span');
      byId('sliders').append(element('label', {}, element('span', {}, task.title), input, value));
      return { input, value };
    });
  }

  gallery() {
    this.buttons = config.samples.map((sample, i) => {
      const inside = sample.picture ? element('img', { src: sample.picture, alt: sample.label }) : sample.label;
      const button = element('button', { type: 'button', title: sample.label }, inside);
      button.addEventListener('click', () => this.choose(i));
      return button;
    });
    byId('gallery').append(...this.buttons);
  }

  /** A panel for inputs that are no pictures. */
  inputPanel() {
    const body = element('div', { id: 'input' });
    byId('panels').prepend(element('div', { class: 'panel input' }, element('h2', {}, 'Input'), body));
    return body;
  }

  tell({ rows, text, sound }) {
    const parts = (rows ?? []).map(([what, told]) => row(what, told));
    if (text) parts.push(element('div', { class: 'text' }, text));
    if (sound) parts.push(element('audio', { controls: '', src: sound }));
    this.told.replaceChildren(...parts);
  }

  choose(index) {
    this.sample = index;
    if (this.told) this.tell(config.samples[index].input);
    this.buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(i === index)));
    this.panels.forEach((panel) => panel.show(config.samples[index]));
    this.set(this.preference);
  }

  set(preference) {
    this.preference = preference;
    this.pad?.show(preference, null);
    this.sliders?.forEach(({ input, value }, t) => {
      input.value = preference[t];
      value.textContent = format(preference[t], count);
    });
    this.wanted = preference;
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    try {
      while (this.wanted) {
        const [preference, sample] = [this.wanted, this.sample];
        this.wanted = null;
        await this.predict(preference, sample);
      }
    } catch (error) {
      byId('status').textContent = `The network could not run: ${error.message}`;
    }
    this.busy = false;
  }

  async predict(preference, sample) {
    const { Tensor } = this.ort;
    const all = { ...this.inputs[sample], preference: new Tensor('float32', Float32Array.from(preference), [count]) };
    const feeds = Object.fromEntries(this.session.inputNames.map((name) => [name, all[name]]));
    const start = performance.now();
    const outputs = await this.session.run(feeds);
    this.times = [...this.times.slice(-19), performance.now() - start];
    this.panels.forEach((panel) => panel.draw(inFloats(outputs[panel.task.name])));
    const typical = [...this.times].sort((a, b) => a - b)[Math.floor(this.times.length / 2)];
    byId('status').textContent = `λ = ${formatAll(preference)} · ${typical.toFixed(1)} ms per prediction, in this browser`;
    Object.assign(document.body.dataset, { painted: preference.join(' '), sample });
  }
}

const inFloats = ({ data, dims }) => ({ dims, data: data instanceof BigInt64Array ? Float64Array.from(data, Number) : data });

/** The tensors of every sample by name; an item's lie one after the other in the order of the configuration. */
function tensors(Tensor, bytes) {
  let start = 0;
  return config.samples.map(() => Object.fromEntries(config.inputs.map(({ name, type, shape }) => {
    const size = shape.reduce((a, b) => a * b, 1) * ARRAYS[type].BYTES_PER_ELEMENT;
    const data = new ARRAYS[type](bytes.slice(start, (start += size)).buffer);
    return [name, new Tensor(type, data, shape)];
  })));
}

async function start() {
  byId('about').textContent = config.about;
  byId('difference').textContent = config.difference;
  const address = URL.createObjectURL(new Blob([await unpack('script')], { type: 'text/javascript' }));
  const ort = await import(address);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await unpack('binary')).buffer;
  const session = await ort.InferenceSession.create(await unpack('network'), { executionProviders: ['wasm'] });
  const inputs = tensors(ort.Tensor, await unpack('inputs'));
  window.player = new Player(ort, session, inputs);
}

start().catch((error) => {
  byId('status').textContent = `This browser cannot run the network (${error.message}); try a newer one.`;
});
