// What λ is set with: pad, sliders, the centre, even steps; and what is said where there is nothing to set.

import { Pad } from './pad.js';
import { centre, Scale } from './simplex.js';
import { Sliders } from './sliders.js';

const FIXED = 'This network was trained for one trade-off: it has no λ to steer. Choose a model with a front to drag one.';

export class Controls {
  /** find(name): an element of the page; now() is λ, change(λ, event time) while it moves, commit() once it rests; redraw(). */
  constructor(find, data, { now, change, commit, redraw }) {
    const { tasks, controllable, even } = data;
    this.scale = new Scale(even);
    this.told = find('flips');
    const options = { now, change, commit, scale: this.scale };
    const drawn = controllable && (tasks.length === 2 || tasks.length === 3);
    if (drawn) this.pad = new Pad(find('pad'), tasks, options);
    else find('pad').remove();
    this.sliders = new Sliders(find('sliders'), tasks, options);
    find('balance').addEventListener('click', (event) => {
      change(centre(tasks.length), event.timeStamp);
      commit();
    });
    find('balance').hidden = find('pin').hidden = !(tasks.length > 1 && controllable);
    this.tellFixed(find, tasks.length > 1 && controllable, controllable);
    find('even').hidden = !even || !controllable;
    find('even').querySelector('input').addEventListener('change', (event) => {
      this.scale.on = event.target.checked;
      if (this.pad?.marked) this.pad.mark(this.pad.marked);
      if (this.pad?.kept) this.pad.keep(this.pad.kept);
      this.pad?.limit(this.pad.limited);
      redraw();
    });
  }

  tellFixed(find, steered, controllable) {
    find('fixed').hidden = steered;
    find('fixed').textContent = controllable ? '' : FIXED;
    if (controllable) return;
    find('sliders').hidden = true;
    find('pad-title').textContent = 'One solution';
  }

  /** Where the decisions about an input flip, on the pad and in words. */
  flips(flips) {
    this.pad?.mark(flips.flatMap(({ marks }) => marks));
    Object.assign(this.told, { textContent: flips.map(({ told }) => told).join('; '), hidden: !flips.length });
  }

  show(preference) {
    this.pad?.show(preference);
    this.sliders.show(preference);
  }
}
