// Classification in the one-file page: probabilities of the classes.

import { views } from './base.js';

views.classification = {
  values(task, data) {
    const top = Math.max(...data);
    const parts = Array.from(data, (v) => Math.exp(v - top));
    const sum = parts.reduce((a, b) => a + b, 0);
    const probabilities = parts.map((part) => part / sum);
    return { probabilities, top: probabilities.indexOf(Math.max(...probabilities)) };
  },
};
