// Two trade-offs at full size: one picture each, or what differs between them, and both their figures.

import { change, withUnit } from './numbers.js';
import { element } from './panels.js';
import { formatAll } from './simplex.js';
import { tellInto } from './told.js';

const WIDTH = 960; // px of a picture
const NOW = 'now';

export class Duel {
  /** dialog: its element; comparison: the page's shortlist, with its answers. */
  constructor(dialog, comparison) {
    Object.assign(this, { dialog, comparison });
    dialog.addEventListener('close', () => comparison.kept.at(this.now.preference) || comparison.answers.drop(this.now));
    const select = (label) => element('select', { 'aria-label': label });
    this.sides = [select('left'), select('right')];
    this.task = select('task');
    this.differ = element('button', { type: 'button', textContent: 'Difference', 'aria-pressed': false });
    this.differ.addEventListener('click', () => {
      this.differ.setAttribute('aria-pressed', this.differ.getAttribute('aria-pressed') !== 'true');
      this.paint();
    });
    const close = element('button', { type: 'button', textContent: 'Close' });
    close.addEventListener('click', () => dialog.close());
    [...this.sides, this.task].forEach((choice) => choice.addEventListener('change', () => this.paint()));
    this.stage = element('div', { className: 'p-faces' });
    this.table = element('table', { className: 'p-table' });
    dialog.append(element('header', {}, this.sides[0], element('span', { textContent: 'against' }), this.sides[1], this.task, this.differ, close), this.stage, this.table);
  }

  open() {
    const { kept, answers, page } = this.comparison;
    this.now = { name: NOW, model: page.data.model, preference: [...page.now()], here: true };
    const names = [...kept.candidates.map(({ name }) => name), NOW];
    this.sides.forEach((choice) => choice.replaceChildren(...names.map((value) => element('option', { value, textContent: value }))));
    this.sides[0].value = kept.against || names[0];
    this.sides[1].value = names.find((name) => name !== this.sides[0].value && name !== NOW) ?? NOW;
    this.task.replaceChildren(...page.figures.panels.map(({ task }) => element('option', { value: task.name, textContent: task.title })));
    answers.want([...kept.candidates, this.now]);
    this.dialog.showModal();
    this.paint();
  }

  chosen() {
    const all = [...this.comparison.kept.candidates, this.now];
    return this.sides.map(({ value }) => all.find(({ name }) => name === value) ?? this.now);
  }

  paint() {
    if (!this.dialog.open) return;
    const { answers, page } = this.comparison;
    const panel = page.figures.of(this.task.value);
    const both = this.chosen();
    const found = both.map((one) => answers.of(one));
    this.differ.hidden = !panel.canvas;
    const faces = panel.canvas ? this.pictures(panel, both, found) : this.words(panel, both, found);
    this.stage.replaceChildren(...faces);
    this.tell(both);
    this.dialog.dataset.painted = found.every(Boolean) ? both.map(({ name }) => name).join(' ') : '';
  }

  pictures(panel, both, found) {
    const layers = found.map((answer) => answer?.bitmaps[answer.header.pictures.findIndex(({ task }) => task === panel.task.name)]);
    const difference = layers.every(Boolean) && panel.difference(layers[1], layers[0]);
    const seen = this.differ.getAttribute('aria-pressed') === 'true' && difference;
    const drawn = (layer, view, caption) => {
      const canvas = element('canvas', { width: WIDTH, height: Math.round(WIDTH * (panel.aspect ?? 0.75)), role: 'img', 'aria-label': caption });
      if (layer) panel.paint(canvas.getContext('2d'), layer, view, WIDTH / 480);
      return element('figure', {}, canvas, element('figcaption', { textContent: caption }));
    };
    if (seen) return [drawn(difference.picture, 'change', `${both[1].name} differs from ${both[0].name}: ${difference.told}`)];
    return both.map((one, i) => drawn(layers[i], 'prediction', `${one.name} ${formatAll(one.preference)}`));
  }

  words(panel, both, found) {
    const values = found.map((answer) => answer?.header.values[panel.task.name]);
    return both.map((one, i) => {
      const node = element('div', { className: 'p-said', textContent: '…' });
      const by = values[i] && panel.read ? tellInto(node, panel, values[i], i ? values[0] : null) : '';
      return element('figure', {}, node, element('figcaption', { textContent: `${one.name} ${formatAll(one.preference)} ${by}` }));
    });
  }

  tell(both) {
    const { page, figuresOf } = this.comparison;
    const figures = both.map(figuresOf);
    const rows = page.data.tasks.flatMap((task) => task.metrics.map((metric) => {
      const [left, right] = figures.map((found) => found?.[metric.key]);
      const cells = [withUnit(left, metric.unit), withUnit(right, metric.unit), left == null || right == null ? '' : change(right, left, metric.unit)];
      return element('tr', {}, element('th', { scope: 'row', textContent: `${task.title} ${metric.label} ${metric.higher ? '↑' : '↓'}` }), ...cells.map((textContent) => element('td', { textContent })));
    }));
    const head = ['', both[0].name, both[1].name, 'change'].map((textContent) => element('th', { scope: 'col', textContent }));
    this.table.replaceChildren(element('tr', {}, ...head), ...rows);
  }
}
