// What the page compares with: candidates to choose from, the wipe between one of them and now, all of them at once.

import { Answers } from './answers.js';
import { Bench } from './bench.js';
import { Beside } from './beside.js';
import { Duel } from './duel.js';
import { Kept, MOST } from './kept.js';
import { element } from './panels.js';
import { formatAll } from './simplex.js';

export class Comparison {
  /**
   * find(name): an element of the page; page: the explorer, which has data, figures, connection, now(), shown (whose
   * scene is on screen), onSplit(λ), goThere(λ), tell(), showMarks(), showMetrics() and paintKept(answer).
   */
  constructor(find, page) {
    Object.assign(this, { find, page, keptMetrics: null });
    this.kept = new Kept(page.data, () => this.changedHere());
    this.answers = new Answers((message, purpose) => page.connection.predict(message, purpose), () => this.came());
    const figures = (one) => (one.model === page.data.model ? page.onSplit(one.preference) : one.figures ?? null);
    this.figuresOf = figures;
    this.bench = new Bench(find('bench'), page.data.tasks, this.kept, { figures, go: (one) => page.goThere([...one.preference]) });
    this.beside = new Beside(find('beside'), page.figures, this.answers);
    this.duel = new Duel(find('duel'), this);
    find('pin').addEventListener('click', () => this.kept.keep(page.now()));
    find('wipe').querySelector('input').addEventListener('input', (event) => this.wipe(event.target.value / 100));
    this.toggle('side', () => (this.beside.on = !this.beside.on));
    this.toggle('differ', () => (this.beside.differences = !this.beside.differences));
    find('face').addEventListener('click', () => this.duel.open());
    find('figures').addEventListener('pointerdown', (event) => this.dragged(event));
    find('figures').addEventListener('pointermove', (event) => event.buttons & 1 && this.dragged(event));
  }

  toggle(name, act) {
    this.find(name).addEventListener('click', () => {
      this.find(name).setAttribute('aria-pressed', act());
      this.find('differ').hidden = !this.beside.on;
      this.beside.show(this.kept);
    });
  }

  /** The λ to compare with, or null. */
  get pinned() {
    return this.kept.compared?.preference ?? null;
  }

  /** Marks of all candidates: their names, λ and figures. */
  get marks() {
    const own = (one) => one.model === this.page.data.model;
    return this.kept.candidates.filter(own).map(({ name, preference }) => ({ name, preference, compared: name === this.kept.against }));
  }

  // -- changes ------------------------------------------------------------------------------------------------------
  changedHere() {
    this.show();
    this.page.tell();
  }

  /** Python has another shortlist, by its journal or a link. */
  take(shortlist) {
    if (this.kept.take(shortlist)) this.show();
  }

  /** Another input is on screen. */
  goTo(image) {
    this.answers.forget(image);
    this.keptMetrics = null;
  }

  ask() {
    const errors = this.page.figures.errors();
    if (this.kept.compared) this.answers.want([this.kept.compared], errors);
    if (this.beside.on) this.answers.want(this.kept.candidates);
  }

  show() {
    const { kept, page } = this;
    const full = kept.full && !kept.at(page.now());
    Object.assign(this.find('pin'), { disabled: full, title: full ? `the shortlist holds ${MOST}; remove one first` : 'keep this λ to compare with' });
    this.showChips();
    page.figures.panels.forEach((panel) => panel.pin(this.pinned, kept.against));
    this.keptMetrics = null;
    this.bench.show(page.now());
    this.beside.show(kept);
    this.find('face').disabled = !kept.candidates.length;
    this.ask();
    this.came();
    page.showMarks();
  }

  showChips() {
    const { kept } = this;
    const wipe = this.find('wipe');
    wipe.hidden = !this.page.data.controllable;
    wipe.classList.toggle('p-waiting', !kept.candidates.length);
    wipe.querySelector('input').hidden = !kept.compared || !this.page.figures.drawn;
    const focused = this.find('chips').contains(document.activeElement) && document.activeElement.textContent;
    const chips = kept.candidates.map(({ name, preference }) => {
      const on = name === kept.against;
      const chip = element('button', { type: 'button', textContent: name, title: formatAll(preference), 'aria-pressed': on });
      chip.addEventListener('click', () => kept.compare(on ? '' : name));
      return chip;
    });
    this.find('chips').replaceChildren(...chips);
    if (focused) chips.find((chip) => chip.textContent === focused)?.focus();
    this.find('wiped').textContent = kept.compared ? `${kept.against} ${formatAll(kept.compared.preference)} | now` : '';
  }

  // -- pictures -----------------------------------------------------------------------------------------------------
  /** An answer about a candidate has arrived, or a scene that answers can be painted on. */
  came() {
    const answer = this.answers.of(this.kept.compared, this.page.figures.errors());
    if (answer) this.keptMetrics = answer.header.metrics;
    if (answer && this.page.shown === answer.image) this.page.paintKept(answer);
    this.beside.paint();
    this.duel.paint();
    this.page.showMetrics();
  }

  /** λ has moved. */
  moved(preference, present) {
    this.bench.moved(preference, present);
    const full = this.kept.full && !this.kept.at(preference);
    if (this.find('pin').disabled !== full) this.find('pin').disabled = full;
  }

  wipe(share) {
    this.find('wipe').querySelector('input').value = 100 * share;
    this.page.figures.wipe(share);
  }

  dragged(event) {
    if (!this.pinned || event.target.tagName !== 'CANVAS' || event.target === this.page.figures.input.canvas) return;
    const box = event.target.getBoundingClientRect();
    this.wipe(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  }
}
