// One row per task: name, slider, number. Moving one keeps the sum at one.

import { format, setWeight } from './simplex.js';

export class Sliders {
  /** Options as for Pad. A slider stands at the place of λ, the number beside it is λ. */
  constructor(node, tasks, { now, change, commit, scale }) {
    Object.assign(this, { node, tasks, now, change, commit, scale, count: tasks.length });
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
      const place = setWeight(this.scale.toPlace(this.now()), t, Number(range.value));
      this.change(this.scale.toPreference(place), event.timeStamp);
    });
    range.addEventListener('change', () => this.commit());
    number.addEventListener('change', (event) => {
      const value = Number(number.value);
      if (number.value.trim() && Number.isFinite(value)) {
        this.change(setWeight(this.now(), t, value), event.timeStamp);
        this.commit();
      } else this.show(this.now());
    });
    node.append(name, range, number);
    return { node, range, number };
  }

  show(preference) {
    const place = this.scale.toPlace(preference);
    this.rows.forEach(({ range, number }, t) => {
      range.value = place[t];
      range.style.setProperty('--filled', `${100 * range.value}%`);
      range.setAttribute('aria-valuetext', format(preference[t], this.count));
      if (document.activeElement !== number && number.getRootNode().activeElement !== number) {
        number.value = format(preference[t], this.count);
      } else if (Number(number.value) !== preference[t]) number.value = format(preference[t], this.count);
    });
  }
}
