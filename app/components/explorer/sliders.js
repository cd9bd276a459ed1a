// One row per task: name, slider, number. Moving one keeps the sum at one.

import { format, setWeight } from './simplex.js';

export class Sliders {
  /** Options as for Pad; scale is used for two tasks only. */
  constructor(node, tasks, { change, commit, scale }) {
    Object.assign(this, { node, tasks, change, commit, scale, count: tasks.length });
    this.rows = tasks.map((task, t) => this.row(task, t));
    node.append(...this.rows.map((row) => row.node));
    node.classList.toggle('p-many', this.count > 6);
  }

  row(task, t) {
    const node = document.createElement('label');
    const name = Object.assign(document.createElement('span'), { textContent: task.title, title: task.title });
    const range = Object.assign(document.createElement('input'), { type: 'range', min: 0, max: 1, step: 0.01 });
    const number = Object.assign(document.createElement('input'), { type: 'number', min: 0, max: 1, step: 0.01 });
    range.setAttribute('aria-label', `weight of ${task.title}`);
    number.setAttribute('aria-label', `weight of ${task.title}, typed`);
    range.disabled = number.disabled = this.count === 1;
    range.addEventListener('input', (event) => {
      this.change(setWeight(this.preference, t, this.weightAt(t, Number(range.value))), event.timeStamp);
    });
    range.addEventListener('change', () => this.commit());
    number.addEventListener('change', (event) => {
      const value = Number(number.value);
      if (number.value.trim() && Number.isFinite(value)) {
        this.change(setWeight(this.preference, t, value), event.timeStamp);
        this.commit();
      } else this.show(this.preference);
    });
    node.append(name, range, number);
    return { node, range, number };
  }

  weightAt(t, place) {
    if (this.count !== 2) return place;
    return t === 1 ? this.scale.toWeight(place) : 1 - this.scale.toWeight(1 - place);
  }

  placeOf(t, weight) {
    if (this.count !== 2) return weight;
    return t === 1 ? this.scale.toPlace(weight) : 1 - this.scale.toPlace(1 - weight);
  }

  show(preference) {
    this.preference = preference;
    this.rows.forEach(({ range, number }, t) => {
      range.value = this.placeOf(t, preference[t]);
      range.style.setProperty('--filled', `${100 * range.value}%`);
      range.setAttribute('aria-valuetext', format(preference[t], this.count));
      if (document.activeElement !== number && number.getRootNode().activeElement !== number) {
        number.value = format(preference[t], this.count);
      } else if (Number(number.value) !== preference[t]) number.value = format(preference[t], this.count);
    });
  }
}
