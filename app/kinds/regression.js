// Regression in the one-file page: the number in the unit of the metrics.

import { views } from './base.js';

views.regression = {
  values: (task, data) => ({ numbers: Array.from(data, (value) => value * (task.scale ?? 1)) }),
};
