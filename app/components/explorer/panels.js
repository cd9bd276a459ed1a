// One panel per task: what all have (title, metrics, legend), and those of tasks with numbers instead of a picture.

import { viewOf } from '../kinds/base.js';
import { change as difference, withUnit } from './numbers.js';
import { said } from './told.js';

const [LETTER, WIDEST] = [7.2, 110]; // pixels of the names of classes

export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith('aria-') || key === 'role') node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

/** Title, metrics and legend that all panels have. */
export class Panel {
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

  /**
   * The first metric large: on the test set (from the front) and on this item; beside it what changed since the pin.
   * onSplit: by keys of columns; here: by task and metric; kept: the two of the candidate to compare with, and its name.
   */
  showMetrics(onSplit, here, kept) {
    this.cells ??= this.task.metrics.slice(0, 2).map((metric, i) => {
      const [value, delta, note] = [element('b'), element('i', { className: 'p-delta' }), element('small')];
      const node = element('span', { className: i === 0 ? 'p-number p-main' : 'p-number' });
      node.append(`${metric.label} ${metric.higher ? '↑' : '↓'} `, value, delta, note);
      return { metric, node, value, delta, note };
    });
    const { name } = this.task;
    const own = kept && { name: kept.name, onSplit: kept.onSplit, here: kept.here[name] };
    const known = this.cells.filter((cell, i) => this.showMetric(cell, i === 0, onSplit, here[name], own));
    if (known.length !== this.numbers.childElementCount) this.numbers.replaceChildren(...known.map(({ node }) => node));
  }

  showMetric({ metric, node, value, delta, note }, first, onSplit, here, kept) {
    const [split, item] = [onSplit?.[metric.key], here?.[metric.name]];
    if (split == null && item == null) return false;
    const unit = metric.unit;
    write(value, withUnit(split ?? item, unit));
    const before = kept && (split == null ? kept.here?.[metric.name] : kept.onSplit?.[metric.key]);
    const by = before == null ? '' : difference(split ?? item, before, unit);
    write(delta, by && ` ${by}`);
    write(delta, !by || by.startsWith('±') ? '' : `${by.startsWith('+') === metric.higher}`, 'data-better');
    const also = item != null && first && split != null;
    write(note, split == null ? ' here' : also && !kept ? ` (here ${withUnit(item, unit)})` : '');
    const told = [`${metric.label}: ${metric.higher ? 'higher' : 'lower'} is better`];
    if (before != null) told.push(`${kept.name} ${withUnit(before, unit)}`);
    const hereBefore = kept?.here?.[metric.name];
    if (also && hereBefore != null) told.push(`here ${withUnit(item, unit)}, ${kept.name} ${withUnit(hereBefore, unit)}`);
    write(node, told.join('; '), 'title');
    return true;
  }
}

/** A text, or an attribute, that is as it should be is left alone: writing it has the browser style the page again. */
function write(node, text, attribute = null) {
  if (attribute === null) {
    if (node.textContent !== text) node.textContent = text;
  } else if (node.getAttribute(attribute) !== text) node.setAttribute(attribute, text);
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
    if (viewOf(this.task).show?.(this.body, values, this.read)) this.legend.replaceChildren(this.pinned);
    else if (values.probabilities) this.showBars(values);
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
      const longest = Math.max(...probabilities.map((_, i) => String(this.read.classes[i] ?? i).length));
      this.body.style.setProperty('--names', `${Math.min(WIDEST, LETTER * (longest + 1))}px`);
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

  /** Compare with the candidate of a name at λ, or (null) no more. */
  pin(preference, name) {
    this.against = name;
    this.pinned.textContent = '';
  }

  /** What is predicted at the λ to compare with, in words. */
  setPinned(values) {
    if (this.read) this.pinned.textContent = `${this.against}: ${said(values, this.read)}`;
  }
}
