// Next tokens: a text whose words are coloured by whose they are, the words that come next, and how it goes on.

import { changedPlaces, views } from './base.js';

// Hues of the ends of the slider; the first three are those of the front.
const HUES = ['#CC3311', '#009988', '#0044BB', '#AA6600', '#8822AA', '#557700', '#CC0066', '#007799'];
const FULL = 2; // nats above the ends' average at which a word is filled as far as it gets
const CLEAR = 1.5; // nats by which an end likes a word better than the average of the ends: a full underline
const ROW = 23; // px

const percent = (p) => `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)} %`;
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const tinted = (hue, share) => `color-mix(in srgb, ${hue} ${Math.round(100 * Math.min(1, Math.max(0, share)))}%, transparent)`;
const shown = (word) => word.replaceAll('\n', '⏎').trim() || '␣';

class TextPanel {
  constructor(host) {
    Object.assign(this, { host, task: host.task, tasks: host.tasks, seed: host.seed ?? 0, ends: [], pinned: null, showsInput: true });
    const { element } = host;
    this.button = element('button', { type: 'button' });
    this.button.addEventListener('click', () => (this.streaming ? this.stop() : this.write()));
    this.other = element('button', { type: 'button', textContent: 'Other words', title: 'draw other words at the same λ' });
    this.other.addEventListener('click', () => {
      this.seed += 1;
      this.kept = this.written = null;
      this.write();
      this.host.seeded(this.seed);
    });
    const tools = element('div', { className: 'p-buttons' }, this.button, this.other);
    this.text = element('p', { className: 'p-text p-words', lang: 'en' });
    this.going = element('div', { className: 'p-going' });
    this.now = this.block('now');
    this.before = this.block('pinned');
    this.going.append(this.before.node, this.now.node);
    this.before.node.hidden = true;
    this.next = element('div', { className: 'p-next' });
    this.rows = new Map();
    this.figures = element('div', { className: 'p-perplexities' });
    this.legend = element('div', { className: 'p-legend' });
    const column = (title, ...parts) => element('div', {}, element('h3', { textContent: title }), ...parts);
    const below = element('div', { className: 'p-below' }, column('Next word', this.next), column('Perplexity', this.figures));
    const head = element('header', {}, element('h3', { textContent: 'Text' }), tools);
    this.node = element('section', { className: 'p-panel p-joint', 'aria-label': 'Text' }, head, this.text, this.legend, this.going, below);
    this.node.dataset.task = this.task.name;
    this.buildFigures();
    this.showButton();
  }

  block(name) {
    const { element } = this.host;
    const [title, body] = [element('small'), element('p', { className: 'p-text', lang: 'en' })];
    const node = element('div', { className: `p-block p-${name}-text` }, title, body);
    return { node, title, body };
  }

  buildFigures() {
    const { element } = this.host;
    this.cells = this.tasks.map((task, t) => {
      const [swatch, value, delta] = [element('i'), element('b'), element('i', { className: 'p-delta' })];
      swatch.style.background = HUES[t % HUES.length];
      const name = element('span', { className: 'p-chip' }, swatch, task.title);
      this.figures.append(element('div', { className: 'p-row' }, name, value, delta));
      return { metric: task.metrics[0], task, value, delta };
    });
    this.here = element('div', { className: 'p-row' });
    this.figures.append(this.here);
  }

  // -- what the page tells ------------------------------------------------------------------------------------------
  setScene(_, truth, legend, { preference, pinned, against }) {
    this.against = against;
    this.read = legend;
    this.ends = this.tasks.map(() => null);
    this.words = [];
    this.values = this.kept = this.written = null;
    delete this.node.dataset.coloured;
    this.text.replaceChildren();
    const chips = this.tasks.map((task, t) => {
      const swatch = this.host.element('i');
      swatch.style.background = HUES[t % HUES.length];
      return this.host.element('span', { className: 'p-chip' }, swatch, task.title);
    });
    this.legend.replaceChildren(...chips, this.host.element('span', { textContent: legend.text }));
    const count = preference.length;
    this.places = this.tasks.map((task) => this.host.all.findIndex(({ name }) => name === task.name));
    this.places.forEach((place, t) => this.host.ask(Array.from({ length: count }, (_, i) => Number(i === place)), `end ${t}`));
    this.pinned = pinned ?? null;
    this.preference = preference;
    this.write();
  }

  setValues(values, preference) {
    if (!this.read || !values.tokens) return;
    this.values = values;
    this.at = preference;
    this.paint();
    this.showNext();
  }

  setAside(purpose, values) {
    this.ends[Number(purpose.slice(4))] = values.tokens.map(([, log]) => log);
    this.paint();
  }

  setPinned(values) {
    this.pinnedNext = new Map(values.next);
    this.showNext();
  }

  pin(preference, name) {
    const other = preference?.join() !== this.kept?.at.join();
    if (other) this.kept = this.pinnedNext = null;
    Object.assign(this, { pinned: preference, against: name });
    if (preference && other && this.written?.done && this.written.at.join() === preference.join()) this.kept = this.written;
    this.showTexts();
    this.showNext();
    if (preference && !this.kept && this.read) this.write();
  }

  showMetrics(onSplit, here, kept) {
    for (const { metric, task, value, delta } of this.cells) {
      const now = onSplit?.[metric.key];
      value.textContent = now == null ? '–' : this.host.withUnit(now, metric.unit);
      const before = kept?.onSplit?.[metric.key];
      const change = now == null || before == null ? null : now - before;
      delta.textContent = change == null ? '' : `${change < 0 ? '−' : '+'}${Math.abs(change).toPrecision(2)}`;
      delta.dataset.better = !change ? '' : change > 0 === metric.higher;
      delta.parentNode.title = `${metric.label} of held-out ${task.title}: ${metric.higher ? 'higher' : 'lower'} is better`;
    }
  }

  moved() {
    if (this.streaming) this.stop();
  }

  rested(preference) {
    if (!this.read || (this.written && this.written.at.join() === preference.join())) return;
    this.preference = preference;
    this.write();
  }

  // -- how it goes on -----------------------------------------------------------------------------------------------
  /** Stream at the pinned λ first, if its text is not there, then at the present one. */
  write() {
    const first = this.pinned && !this.kept;
    this.streaming = [...(first ? this.pinned : this.preference)];
    if (first) this.kept = { at: this.streaming, text: '', done: false };
    else this.written = { at: this.streaming, text: '', done: false };
    this.host.stream(this.streaming, this.seed);
    this.showTexts();
    this.showButton();
  }

  stop() {
    this.host.stop();
    this.streaming = null;
    this.showButton();
  }

  went({ text, liked, done }, preference) {
    const at = preference.join();
    const one = [this.kept, this.written].find((candidate) => candidate && !candidate.done && candidate.at.join() === at);
    if (!one) return;
    if (text != null) one.text = text;
    if (liked) one.liked = liked;
    one.done = !!done;
    this.showTexts();
    if (!done) return;
    this.streaming = null;
    if (one === this.kept && !this.written?.done) this.write();
    this.showButton();
  }

  showTexts() {
    const show = ({ node, title, body }, one, name, before) => {
      node.hidden = !one;
      if (!one) return;
      title.textContent = `${name} λ = ${this.host.formatAll(one.at)}`;
      const changed = before?.done && one.done ? changedPlaces(one.text.trimStart(), before.text.trimStart()) : () => false;
      body.replaceChildren('… ', ...this.coloured(one.liked ?? [[one.text.trimStart()]], changed));
      node.classList.toggle('p-streaming', this.streaming?.join() === one.at.join() && !one.done);
    };
    show(this.before, this.pinned && this.kept, `${this.against} goes on at`);
    show(this.now, this.written, 'goes on at', this.pinned && this.kept);
    this.node.dataset.liked = this.written?.liked ? this.written.at.join(' ') : '';
    this.node.dataset.written = this.written?.done ? this.written.at.join(' ') : '';
  }

  /** Words of a continuation, coloured like those of the text once it stands; changed(from, to): not in the other one. */
  coloured(liked, changed) {
    let at = 0;
    return liked.flatMap(([piece, log, likes], i) => {
      const text = i ? piece : piece.trimStart();
      const parts = likes ? [text] : text.match(/\s*\S+|\s+$/g) ?? [];
      return parts.map((textContent) => {
        const node = this.host.element('span', { textContent, className: changed(at, at + textContent.length) ? 'p-changed' : '' });
        at += textContent.length;
        if (likes) this.colour(node, piece, log, this.places.map((place) => likes[place]));
        return node;
      });
    });
  }

  showButton() {
    this.button.textContent = this.streaming ? 'Stop' : 'Write on';
  }

  // -- painting -----------------------------------------------------------------------------------------------------
  paint() {
    if (!this.values) return;
    const { tokens } = this.values;
    if (this.words.length !== tokens.length) {
      this.words = tokens.map(([piece]) => this.host.element('span', { textContent: piece }));
      this.text.replaceChildren(...this.words);
    }
    const known = this.ends.every(Boolean);
    tokens.forEach(([piece, log], i) => {
      const node = this.words[i];
      if (log != null && known) this.colour(node, piece, log, this.ends.map((logs) => logs[i]));
    });
    const logs = tokens.map(([, log]) => log).filter((log) => log != null);
    this.here.textContent = logs.length ? `this text here: ${Number(Math.exp(-mean(logs)).toPrecision(3))}` : '';
    if (known) this.node.dataset.coloured = this.at.join(' ');
  }

  /** A word by its log-probabilities: at λ, and at the end of the slider of each task. */
  colour(node, piece, log, likes) {
    const average = mean(likes);
    const best = likes.indexOf(Math.max(...likes));
    const hue = HUES[best % HUES.length];
    node.style.background = tinted(hue, (0.7 * (log - average)) / FULL);
    node.style.borderBottomColor = tinted(hue, (likes[best] - average) / CLEAR);
    const ends = likes.map((like, t) => `${this.tasks[t].title} ${percent(Math.exp(like))}`);
    node.title = `“${shown(piece)}”: ${percent(Math.exp(log))} at λ; ${ends.join(', ')}`;
  }

  showNext() {
    if (!this.values) return;
    const { element } = this.host;
    const [most] = this.values.next.map(([, p]) => p);
    const gone = new Set(this.rows.keys());
    this.next.style.height = `${ROW * this.values.next.length}px`;
    const seen = new Map();
    this.values.next.forEach(([word, p], i) => {
      const times = seen.get(word) ?? 0; // several tokens may be written alike
      seen.set(word, times + 1);
      const key = `${times} ${word}`;
      gone.delete(key);
      let row = this.rows.get(key);
      if (!row) {
        const [fill, mark, number] = [element('i'), element('u'), element('span', { className: 'p-percent' })];
        const track = element('span', { className: 'p-track' }, fill, mark);
        const node = element('div', { className: 'p-bar' }, element('span', { className: 'p-class', textContent: shown(word) }), track, number);
        this.rows.set(key, (row = { node, fill, mark, number }));
        this.next.append(node);
      }
      row.node.style.transform = `translateY(${ROW * i}px)`;
      row.fill.style.width = `${(100 * p) / most}%`;
      row.number.textContent = percent(p);
      const before = times ? null : this.pinnedNext?.get(word);
      row.mark.hidden = before == null;
      if (before != null) row.mark.style.left = `${Math.min(100, (100 * before) / most)}%`;
    });
    for (const key of gone) {
      this.rows.get(key).node.remove();
      this.rows.delete(key);
    }
  }
}

/** The likeliest next words; those that another λ does not find among them are marked. */
function compare(node, { next }, before) {
  if (!next) return false;
  const known = before && new Set(before.next.map(([word]) => word));
  node.replaceChildren(...next.slice(0, 6).map(([word, p]) => {
    const row = document.createElement(known && !known.has(word) ? 'mark' : 'span');
    Object.assign(row, { textContent: `${shown(word)} ${percent(p)}` });
    row.style.display = 'table';
    return row;
  }));
  return true;
}

views.next_token = { panel: (host) => new TextPanel(host), compare };
