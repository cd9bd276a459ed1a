// Grades in the one-file page: what each has of "above the one below" beyond "above itself".

import { views } from './base.js';

views.ordinal = {
  values(task, data) {
    const above = [1, ...Array.from(data, (v) => 1 / (1 + Math.exp(-v))), 0];
    const share = above.slice(0, -1).map((p, k) => Math.max(0, p - above[k + 1]));
    const sum = share.reduce((a, b) => a + b, 0);
    return { probabilities: share.map((p) => p / sum), top: Array.from(data).filter((v) => v > 0).length };
  },
};
