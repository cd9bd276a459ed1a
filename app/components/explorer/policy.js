// The policy that λ sets, in a sentence: what it costs and what it brings against the first objective alone.

import { corner, formatAll } from './simplex.js';

const points = (value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)} points`;

const plain = (value, { unit }) => (unit === '%' ? `${(100 * value).toFixed(1)} %` : `${value.toFixed(1)} ${unit}`.trim());

/** tasks: as the page has them; at(key, λ): a figure of the evaluated front; "" where it does not know them. */
export function policy(tasks, at, preference) {
  const alone = corner(tasks.length, 0);
  const figures = tasks.map((task) => {
    const metric = task.metrics[0];
    return { task, metric, now: at(metric?.key, preference), then: at(metric?.key, alone) };
  });
  if (figures.some(({ now, then }) => now == null || then == null)) return '';
  const here = preference.every((v, t) => Math.abs(v - alone[t]) < 1e-6);
  const parts = figures.map(({ task, metric, now, then }, t) => {
    const name = t ? `${task.title.toLowerCase()} ${metric.label}` : metric.label;
    if (here) return `${name} ${plain(now, metric)}`;
    if (metric.unit === '%') return `${name} ${points(100 * (now - then))}`;
    return `${name} ${plain(then, { unit: '' })} → ${plain(now, metric)}`;
  });
  return here ? `${tasks[0].title} alone: ${parts.join(', ')}.` : `This policy: ${parts.join(', ')}, compared with λ = ${formatAll(alone)}.`;
}
