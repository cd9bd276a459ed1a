// The table of the shortlist: what each candidate gives, against the one that is compared with; names, notes, removal.

import { change, changeWithUnit, withUnit } from './numbers.js';
import { element } from './panels.js';
import { formatAll } from './simplex.js';

const MOST_COLUMNS = 8;

export class Bench {
  /**
   * node: its card; tasks: as the page has them; kept: the shortlist. figures(candidate): its figures by key, or null;
   * go(candidate): have the page go there.
   */
  constructor(node, tasks, kept, { figures, go }) {
    Object.assign(this, { node, kept, figures, go });
    this.columns = tasks.flatMap((task) => task.metrics.slice(0, 1).map((metric) => ({ task, metric }))).slice(0, MOST_COLUMNS);
    this.table = node.querySelector('table');
    const better = ({ metric }) => (metric.higher ? '↑' : '↓');
    const heads = ['', 'λ', ...this.columns.map((column) => `${column.task.title} ${column.metric.label} ${better(column)}`), 'note', ''];
    this.head = element('tr', {}, ...heads.map((textContent) => element('th', { textContent, scope: 'col' })));
    this.now = this.row(null);
  }

  /** Rows of all candidates, anew; the focus stays where it was. */
  show(preference) {
    const { activeElement } = document;
    const focus = this.table.contains(activeElement) && [activeElement.closest('tr')?.dataset.name, activeElement.dataset.part];
    this.node.hidden = !this.kept.candidates.length;
    this.rows = this.kept.candidates.map((one) => this.row(one));
    this.table.replaceChildren(element('thead', {}, this.head), element('tbody', {}, this.now.node, ...this.rows.map(({ node }) => node)));
    this.rows.forEach((row) => this.fill(row, this.figures(row.candidate)));
    this.moved(preference, this.present);
    if (focus) [...this.table.querySelectorAll('[data-part]')].find((part) => part.dataset.part === focus[1] && part.closest('tr').dataset.name === focus[0])?.focus();
  }

  /** λ has moved: only its own row changes. */
  moved(preference, present) {
    this.present = present;
    if (this.node.hidden) return;
    const told = formatAll(preference);
    if (this.now.place.textContent !== told) this.now.place.textContent = told;
    this.fill(this.now, present);
  }

  row(candidate) {
    const place = element('td', { textContent: candidate ? formatAll(candidate.preference) : '' });
    const cells = this.columns.map((column) => {
      const [value, delta] = [element('b'), element('i', { className: 'p-delta' })];
      return { ...column, value, delta, node: element('td', {}, value, delta) };
    });
    const name = candidate ? this.name(candidate) : element('th', { textContent: 'now', scope: 'row' });
    const ends = candidate ? [this.note(candidate), this.tools(candidate)] : [element('td'), element('td')];
    const node = element('tr', {}, name, place, ...cells.map((cell) => cell.node), ...ends);
    node.dataset.name = candidate?.name ?? '';
    if (candidate) node.classList.toggle('p-reference', candidate.name === this.kept.against);
    return { candidate, node, place, cells };
  }

  fill({ candidate, cells }, figures) {
    const reference = candidate?.name === this.kept.against ? null : this.kept.compared && this.figures(this.kept.compared);
    for (const { metric, value, delta } of cells) {
      const [now, before] = [figures?.[metric.key], reference?.[metric.key]];
      const by = now == null || before == null ? '' : change(now, before, metric.unit);
      put(value, withUnit(now, metric.unit));
      put(delta, by && ` ${by}`);
      const better = !by || by.startsWith('±') ? '' : `${by.startsWith('+') === metric.higher}`;
      if (delta.dataset.better !== better) delta.dataset.better = better;
      if (by) delta.title = `${changeWithUnit(now, before, metric.unit)} against ${this.kept.against}`;
    }
  }

  name(candidate) {
    const input = element('input', { type: 'text', value: candidate.name, maxLength: 24, 'aria-label': `name of ${candidate.name}` });
    input.dataset.part = 'name';
    input.addEventListener('change', () => this.kept.rename(candidate.name, input.value) || (input.value = candidate.name));
    return element('th', { scope: 'row' }, input);
  }

  note(candidate) {
    const input = element('input', { type: 'text', value: candidate.note, maxLength: 200, placeholder: 'why', 'aria-label': `note on ${candidate.name}` });
    input.dataset.part = 'note';
    input.addEventListener('change', () => this.kept.note(candidate.name, input.value.trim()));
    return element('td', {}, input);
  }

  tools(candidate) {
    const go = this.button('Go', `go to ${candidate.name}`, () => this.go(candidate));
    const remove = this.button('✕', `remove ${candidate.name}`, () => this.kept.remove(candidate.name));
    go.hidden = candidate.model !== this.kept.model;
    return element('td', { className: 'p-buttons' }, go, remove);
  }

  button(textContent, label, click) {
    const button = element('button', { type: 'button', textContent, title: label, 'aria-label': label });
    button.dataset.part = textContent;
    button.addEventListener('click', click);
    return button;
  }
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
