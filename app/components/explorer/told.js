// What a task without a picture predicts, in few words; and by how much two predictions differ.

import { viewOf } from '../kinds/base.js';
import { change, withUnit } from './numbers.js';

const nameOf = (read, index) => read.classes?.[index] ?? index;
const percent = (share) => `${(100 * share).toFixed(0)} %`;

/** A prediction in words; read: the legend of its task. */
export function said({ probabilities, top, numbers, rows }, read) {
  if (rows) return rows.map(([, text]) => text).join(', ');
  if (probabilities) return `${nameOf(read, top)} (${percent(probabilities[top])})`;
  return (numbers ?? []).map((number) => withUnit(number, read.unit)).join(', ');
}

/** What differs from another prediction, in words; "" where nothing that is shown does. */
export function differs(now, before, read) {
  if (now.rows) {
    const old = before.rows ?? [];
    return now.rows.filter(([, text], i) => text !== old[i]?.[1]).map(([what, text], i) => `${what}: ${old[i]?.[1] ?? '–'} → ${text}`).join('; ');
  }
  if (now.probabilities) {
    if (now.top !== before.top) return `${nameOf(read, before.top)} → ${nameOf(read, now.top)}`;
    const by = change(now.probabilities[now.top], before.probabilities[now.top], '%');
    return by.startsWith('±') ? '' : `${by} points`;
  }
  const changes = (now.numbers ?? []).map((number, i) => change(number, before.numbers?.[i], read.unit));
  return changes.every((by) => by.startsWith('±')) ? '' : changes.join(', ');
}

/** Write a prediction into a node, or have its kind do so; what differs from another one in words, "" of kinds that mark it. */
export function tellInto(node, panel, values, before) {
  if (viewOf(panel.task).compare?.(node, values, before)) return '';
  node.textContent = said(values, panel.read);
  return before ? differs(values, before, panel.read) || 'the same' : '';
}
