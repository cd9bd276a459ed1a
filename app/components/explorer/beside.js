// Candidates side by side: for every task a row of what each of them predicts for the input on screen, or how it differs.

import { element } from './panels.js';
import { formatAll } from './simplex.js';
import { tellInto } from './told.js';

const WIDTH = 300; // px of a small picture

export class Beside {
  /** node: where it is laid out; figures: the page's panels; answers: what is predicted at the candidates' λ. */
  constructor(node, figures, answers) {
    Object.assign(this, { node, figures, answers, on: false, differences: false });
  }

  /** Lay out the cells of these candidates; the rest comes with the answers. */
  show({ candidates, compared }) {
    Object.assign(this, { candidates, compared });
    this.node.hidden = !this.on;
    if (!this.on) return;
    this.answers.want(candidates);
    this.node.style.setProperty('--count', candidates.length);
    this.cells = [];
    const heads = candidates.map((one) => element('b', { textContent: one.name, title: formatAll(one.preference) }));
    const rows = this.figures.panels.flatMap((panel) => [element('h4', { textContent: panel.task.title }), ...candidates.map((one) => this.cell(panel, one))]);
    this.node.replaceChildren(...heads, ...rows);
    this.paint();
  }

  cell(panel, candidate) {
    const body = panel.canvas ? element('canvas', { width: WIDTH, role: 'img' }) : element('div', { className: 'p-said' });
    const told = element('small');
    const node = element('div', { className: 'p-cell' }, body, told);
    this.cells.push({ panel, candidate, body, told });
    return node;
  }

  /** Fill what there are answers for. */
  paint() {
    if (!this.on) return;
    for (const cell of this.cells) {
      const answer = this.answers.of(cell.candidate);
      if (!answer) cell.told.textContent = cell.candidate.here ? '…' : 'its samples are others';
      else if (cell.panel.canvas) this.draw(cell, answer);
      else this.tell(cell, answer);
    }
    this.node.dataset.painted = this.cells.every(({ candidate }) => !candidate.here || this.answers.of(candidate)) ? this.answers.image : '';
  }

  /** What is predicted at the candidate to compare with; nothing for that one itself. */
  reference(candidate) {
    return candidate === this.compared ? undefined : this.answers.of(this.compared) ?? undefined;
  }

  layer({ header, bitmaps }, task) {
    return bitmaps[header.pictures.findIndex((picture) => picture.task === task)];
  }

  draw({ panel, candidate, body, told }, answer) {
    const layer = this.layer(answer, panel.task.name);
    const reference = this.reference(candidate);
    if (!layer || !panel.read) return;
    body.height = Math.round(WIDTH * (panel.aspect ?? 0.75));
    const difference = reference && panel.difference(layer, this.layer(reference, panel.task.name));
    const context = body.getContext('2d');
    if (this.differences && difference) panel.paint(context, difference.picture, 'change', 1);
    else panel.paint(context, layer, 'prediction', 1);
    told.textContent = difference ? `differs from ${this.compared.name}: ${difference.told}` : '';
    body.setAttribute('aria-label', `${panel.task.title} of ${candidate.name}${this.differences && difference ? `, what differs from ${this.compared.name}` : ''}`);
  }

  tell({ panel, candidate, body, told }, answer) {
    const values = answer.header.values[panel.task.name];
    const reference = this.reference(candidate);
    const before = reference?.header.values[panel.task.name];
    if (!values || !panel.read) return;
    const by = tellInto(body, panel, values, before);
    told.textContent = by && `against ${this.compared.name}: ${by}`;
  }
}
