// Surface normals: angles between two predictions, a direction in words, and colours in the one-file page.

import { views } from './base.js';

views.normals = {
  /** The angle in degrees between the unit vectors that two pixels stand for. */
  amount: () => (a, b, i) => {
    const vectors = [a, b].map((data) => [0, 1, 2].map((c) => data[i + c] / 127.5 - 1));
    const [p, q] = vectors.map((v) => Math.hypot(...v));
    const dot = vectors[0].reduce((sum, v, c) => sum + v * vectors[1][c], 0);
    return (Math.acos(Math.min(1, Math.max(-1, dot / (p * q || 1)))) * 180) / Math.PI;
  },
  describe: (pixel) => ['x', 'y', 'z'].map((axis, c) => `${axis} ${(pixel[c] / 127.5 - 1).toFixed(2)}`).join(', '),
  paint(task, data, pixels, size) {
    for (let i = 0; i < size; i += 1) {
      const vector = [data[i], data[size + i], data[2 * size + i]];
      const length = Math.hypot(...vector) || 1;
      pixels.set([...vector.map((v) => Math.round((v / length + 1) * 127.5)), 255], 4 * i);
    }
  },
};
