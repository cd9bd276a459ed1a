// Segmentation in the one-file page: the colour of the best class.

import { rgbOf, views } from './base.js';

views.segmentation = {
  paint(task, data, pixels, size) {
    const colours = task.colours.map(rgbOf);
    for (let i = 0; i < size; i += 1) {
      let best = 0;
      for (let c = 1; c < colours.length; c += 1) if (data[c * size + i] > data[best * size + i]) best = c;
      pixels.set([...colours[best], 255], 4 * i);
    }
  },
};
