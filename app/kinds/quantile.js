// Quantiles in the one-file page: each in the unit of the metrics.

import { views } from './base.js';

views.quantile = {
  values: (task, data) => ({
    rows: task.names.map((name, i) => [name, `${Number((data[i] * task.scale).toPrecision(4))} ${task.unit}`.trim()]),
  }),
};
