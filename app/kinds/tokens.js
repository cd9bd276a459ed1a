// Tokens in the one-file page: the class of every token and how likely it is.

import { views } from './base.js';

views.tokens = {
  values(task, data) {
    const count = task.names.length;
    const rows = [];
    for (let start = 0; start < data.length && rows.length < task.most; start += count) {
      const logits = Array.from(data.slice(start, start + count));
      const top = Math.max(...logits);
      const sum = logits.reduce((total, v) => total + Math.exp(v - top), 0);
      rows.push([`${rows.length + 1}`, `${task.names[logits.indexOf(top)]} (${(100 / sum).toFixed(0)} %)`]);
    }
    return { rows };
  },
};
