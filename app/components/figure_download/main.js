// Saves a figure as a picture, drawn anew for print: what the page's own camera saves is dark and cuts legends.

import { plotly } from '../plotly.js';

const shown = new WeakMap();

async function save(root, format) {
  const { figure, filename } = shown.get(root);
  const note = root.querySelector('output');
  note.textContent = '';
  try {
    const Plotly = await plotly();
    const { data, layout } = JSON.parse(figure);
    const { width, height } = layout;
    await Plotly.downloadImage({ data, layout }, { format, width, height, filename, scale: format === 'png' ? 2 : 1 });
  } catch {
    note.textContent = 'The picture could not be made; reload the page and try again.';
  }
}

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data, parentElement }) {
  const root = parentElement.querySelector('.picture');
  const first = !shown.has(root);
  shown.set(root, data);
  if (!first) return;
  for (const button of root.querySelectorAll('button')) button.addEventListener('click', () => save(root, button.dataset.format));
}
