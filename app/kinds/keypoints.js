// Key points in the one-file page: coloured discs over the input.

import { rgbOf, views } from './base.js';

views.keypoints = {
  size: (task) => [task.side, task.side],
  paint(task, data, pixels) {
    const colours = task.colours.map(rgbOf);
    for (let i = 0; i < task.side ** 2; i += 1) {
      const [x, y] = [(i % task.side) + 0.5, Math.floor(i / task.side) + 0.5].map((v) => v / task.side);
      colours.forEach((colour, k) => {
        if (Math.hypot(x - data[2 * k], y - data[2 * k + 1]) <= task.radius) pixels.set([...colour, 255], 4 * i);
      });
    }
  },
};
