// What Streamlit calls of the explorer.

import { Explorer } from './explorer.js';

const instances = new WeakMap();

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector('.palora');
  let explorer = instances.get(root);
  if (explorer) explorer.update(data);
  else instances.set(root, (explorer = new Explorer(root, data)));
  explorer.report = setStateValue;
  return () => setTimeout(() => root.isConnected || explorer.end(), 0);
}
