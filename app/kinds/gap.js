// Gaps between groups in Explore: a dot per person, that moves with λ across the line between no and yes, and counts.

import { views } from './base.js';

const ROW = 62; // CSS pixels of a group
const NAME = 15; // of them its name
const SIDE = 6;
const HEADS = ['', 'yes ✓', 'yes ✗', 'no ✗', 'no ✓']; // rightly or wrongly

/** Where a person stands across the row: always the same, spread evenly (the golden ratio's multiples). */
const lane = (i) => (i * 0.618034) % 1;

function draw(canvas, people) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.parentElement.clientWidth || 320, ROW * people.length + 14];
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  const style = getComputedStyle(canvas);
  const [yes, no] = ['--st-primary-color', '--st-orange-color'].map((name, i) => style.getPropertyValue(name).trim() || ['#3b5bdb', '#e8590c'][i]);
  const across = (percent) => SIDE + (percent / 100) * (width - 2 * SIDE);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `12px ${style.fontFamily}`;
  context.fillStyle = context.strokeStyle = style.color;
  context.globalAlpha = 0.5;
  context.fillRect(across(50) - 0.5, 0, 1, height - 14);
  context.globalAlpha = 1;
  people.forEach((group, row) => {
    const top = row * ROW;
    const above = group.yes.filter((percent) => percent > 50).length;
    context.textAlign = 'left';
    context.fillStyle = style.color;
    context.fillText(`${group.name}: ${above} of ${group.yes.length} yes`, SIDE, top + 11);
    group.yes.forEach((percent, i) => {
      context.beginPath();
      context.arc(across(percent), top + NAME + 5 + lane(i) * (ROW - NAME - 12), 2.6, 0, 7);
      context.fillStyle = context.strokeStyle = percent > 50 ? yes : no;
      // Filled is who should have it: a full dot on the left, or a ring on the right, is a mistake.
      if (group.truth[i]) context.fill();
      else context.stroke();
    });
  });
  context.fillStyle = style.color;
  for (const [text, at, align] of [['0 %', SIDE, 'left'], ['no ← 50 % → yes', across(50), 'center'], ['100 %', width - SIDE, 'right']]) {
    context.textAlign = align;
    context.fillText(text, at, height - 2);
  }
}

function cell(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}

/** The parts of a panel, made once; what moves with λ is written into them. */
function build(node, { counts }) {
  const canvas = document.createElement('canvas');
  canvas.setAttribute('role', 'img');
  canvas.style.cssText = 'width:100%;background:none';
  const table = document.createElement('table');
  table.className = 'p-counts';
  const head = document.createElement('tr');
  head.append(...HEADS.map((text) => cell('th', text)));
  const cells = counts.map((row) => row.map((value) => cell('td', value)));
  table.append(head, ...cells.map((row) => {
    const line = document.createElement('tr');
    line.append(...row);
    return line;
  }));
  node.replaceChildren(canvas, table);
  return { canvas, cells };
}

const parts = new WeakMap();

views.gap = {
  /** values: rows [[group, text]], people [{name, yes, truth}], counts [[group, four numbers]]. */
  show(node, values) {
    if (!values.people) return false;
    let made = parts.get(node);
    if (!made || !node.contains(made.canvas)) parts.set(node, (made = build(node, values)));
    draw(made.canvas, values.people);
    made.canvas.setAttribute('aria-label', values.rows.map((row) => row.join(': ')).join('; '));
    values.counts.forEach((row, i) => row.forEach((value, k) => {
      const node = made.cells[i][k];
      if (node.textContent !== String(value)) node.textContent = value;
    }));
    return true;
  },
};
