// The address in the browser always reproduces the view; it is replaced, so that Back leads to the page before.

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data }) {
  if (location.pathname.split('/').at(-1) !== data.page) return; // a page that is being left
  const query = `?${new URLSearchParams(data.parameters)}`.replaceAll('%2C', ',');
  if (location.search !== query && query !== '?') history.replaceState(history.state, '', location.pathname + query);
}
