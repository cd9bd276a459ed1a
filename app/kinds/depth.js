// Depth in the one-file page: colours of the ramp.

import { rampColours, views } from './base.js';

views.depth = {
  paint(task, data, pixels, size) {
    const colours = rampColours(task.ramp, 256);
    const [low, high] = task.range;
    for (let i = 0; i < size; i += 1) {
      const level = Math.min(1, Math.max(0, (data[i] - low) / (high - low || 1)));
      pixels.set([...colours[Math.round(255 * level)], 255], 4 * i);
    }
  },
};
