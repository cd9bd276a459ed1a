// A page's address, as Python tells it.

import { write } from './address.js';

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data }) {
  write(data.page, data.parameters);
}
