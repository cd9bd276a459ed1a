// The address in the browser: it always reproduces the view, and Back always leads to the page before.

export class Address {
  constructor() {
    this.page = location.pathname;
  }

  /** Have it say what Python tells (in Python's words), with λ or the sample as they are now. */
  show(told, changed = {}) {
    if (!told || location.pathname !== this.page) return; // a page that is being left
    const wanted = Object.entries({ ...told, ...changed }).filter(([, value]) => value);
    const query = `?${new URLSearchParams(wanted)}`.replaceAll('%2C', ',');
    if (location.search !== query) history.replaceState(history.state, '', location.pathname + query);
  }
}
