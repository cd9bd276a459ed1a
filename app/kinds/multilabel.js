// Several labels in the one-file page: how sure every label is.

import { views } from './base.js';

views.multilabel = {
  values(task, data) {
    const sure = Array.from(data, (v) => 1 / (1 + Math.exp(-v)));
    return { rows: sure.map((p, i) => [task.names[i], `${p > 0.5 ? 'yes' : 'no'} (${(100 * p).toFixed(0)} %)`]) };
  },
};
