// The address in the browser always reproduces the view; it is replaced, so that Back leads to the page before.

/** The last part of the path: which page this is ("" for the first one). */
export const pageHere = () => location.pathname.split('/').at(-1);

/** Have the address of `page` say the parameters; those without a value are left out. */
export function write(page, parameters) {
  if (pageHere() !== page) return; // a page that is being left
  const query = `?${new URLSearchParams(Object.entries(parameters).filter(([, value]) => value))}`.replaceAll('%2C', ',');
  if (location.search !== query && query !== '?') history.replaceState(history.state, '', location.pathname + query);
}
