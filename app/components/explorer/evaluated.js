// The evaluated front as figures at any λ, between its points.

import { policy } from './policy.js';
import { Interpolator } from './simplex.js';

export class Evaluated {
  /** front: as Python tells it, or null; tasks: as the page has them. */
  constructor(front, tasks) {
    Object.assign(this, { front, tasks });
    this.around = front && new Interpolator(front.preferences);
    this.columns = new Map(front?.columns.map((column) => [column.key, column.values]));
  }

  /** All figures at λ by key; null off the simplex and without a front. */
  at(preference) {
    if (!this.front || !preference.every((v) => v > -1e-6)) return null;
    return Object.fromEntries([...this.columns].map(([key, values]) => [key, this.around.value(values, preference)]));
  }

  /** The policy that λ sets, in a sentence; "" where it sets none. */
  policy(preference) {
    if (!this.front || !this.tasks.some((task) => task.policy)) return '';
    return policy(this.tasks, (key, λ) => (this.columns.has(key) ? this.around.value(this.columns.get(key), λ) : null), preference);
  }
}
