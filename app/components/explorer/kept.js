// The shortlist: a few λ with names, one of which everything else is compared with. Python keeps it; this is what is shown.

export const MOST = 6;
const MOST_NAME = 24;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

export class Kept {
  /** data: model and shortlist {candidates, against, revision} as Python told; changed(): it was changed here. */
  constructor({ model, shortlist }, changed) {
    Object.assign(this, { model, changed, revision: shortlist.revision });
    this.accept(shortlist);
  }

  accept({ candidates, against }) {
    Object.assign(this, { candidates, against });
  }

  /** Take over what Python has, unless it has not yet heard of the last change here; whether anything is new. */
  take(shortlist) {
    if (shortlist.revision < this.revision) return false;
    const before = JSON.stringify([this.candidates, this.against]);
    this.accept(shortlist);
    return JSON.stringify([this.candidates, this.against]) !== before;
  }

  /** The candidate to compare with, or null. */
  get compared() {
    return this.candidates.find(({ name }) => name === this.against) ?? null;
  }

  get full() {
    return this.candidates.length >= MOST;
  }

  at(preference) {
    return this.candidates.find((one) => one.model === this.model && one.preference.join() === preference.join());
  }

  /** Keep λ under the next letter and compare with it; one that is kept already is only compared with. */
  keep(preference) {
    const there = this.at(preference);
    if (!there && this.full) return;
    const name = there?.name ?? [...LETTERS].find((letter) => !this.candidates.some((one) => one.name === letter));
    if (!there) this.candidates = [...this.candidates, { name, model: this.model, preference: [...preference], note: '', here: true }];
    this.change(name);
  }

  remove(name) {
    this.candidates = this.candidates.filter((one) => one.name !== name);
    this.change(this.against === name ? this.candidates[0]?.name ?? '' : this.against);
  }

  /** Another name, if it is one and no other candidate has it; whether it was taken. */
  rename(name, to) {
    const wanted = to.replace(/\s+/g, ' ').trim().slice(0, MOST_NAME);
    if (wanted === name) return true;
    if (!wanted || this.candidates.some((one) => one.name === wanted)) return false;
    this.candidates = this.candidates.map((one) => (one.name === name ? { ...one, name: wanted } : one));
    this.change(this.against === name ? wanted : this.against);
    return true;
  }

  note(name, note) {
    this.candidates = this.candidates.map((one) => (one.name === name ? { ...one, note } : one));
    this.change(this.against);
  }

  /** Compare with one of them, or with none (""). */
  compare(name) {
    if (name !== this.against) this.change(name);
  }

  change(against) {
    this.against = against;
    this.revision += 1;
    this.changed();
  }

  /** What Python is told. */
  report() {
    const candidates = this.candidates.map(({ name, model, preference, note }) => ({ name, model, preference, note }));
    return { candidates, against: this.against, revision: this.revision };
  }
}
