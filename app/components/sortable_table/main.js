// A table that its headings sort: the first press puts the best on top, the next one turns the order round.

const tables = new WeakMap();

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

class Table {
  constructor(root) {
    this.root = root;
    this.by = 0; // column; -1 is the name, -2 the number of seeds
    this.turned = false;
  }

  update(data) {
    this.data = data;
    if (this.by >= data.columns.length) [this.by, this.turned] = [0, false];
    const seeds = { heading: 'seeds', arrow: '', better: 1, help: 'Training runs behind the figures; ± is their standard deviation.' };
    const heads = [[-1, { heading: 'method', arrow: '', better: 0 }], [-2, seeds], ...data.columns.entries()];
    this.heads = heads.map(([place, column]) => this.heading(place, column));
    this.root.querySelector('thead').replaceChildren(element('tr', {}, ...this.heads.map(([, head]) => head)));
    this.show();
  }

  heading(place, { heading, arrow, help }) {
    const button = element('button', { type: 'button', title: help ?? '' }, arrow ? `${heading} ${arrow}` : heading);
    button.addEventListener('click', () => {
      this.turned = this.by === place && !this.turned;
      this.by = place;
      this.show();
    });
    return [place, element('th', { scope: 'col' }, button)];
  }

  key(row) {
    if (this.by === -1) return row.name;
    return this.by === -2 ? row.seeds : row.cells[this.by]?.value ?? null;
  }

  /** Whether larger values stand on top. */
  get falling() {
    const better = this.by === -2 ? 1 : this.data.columns[this.by]?.better ?? 0;
    return (better > 0) !== this.turned;
  }

  show() {
    const sign = this.falling ? -1 : 1;
    const order = (a, b) => {
      const [first, second] = [this.key(a), this.key(b)];
      if (first === null || second === null) return (first === null) - (second === null); // what is not known comes last
      return sign * (typeof first === 'string' ? first.localeCompare(second, undefined, { numeric: true }) : first - second);
    };
    for (const [place, head] of this.heads) {
      if (place === this.by) head.setAttribute('aria-sort', this.falling ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    }
    const rows = [...this.data.rows].sort(order).map((row) => this.row(row));
    this.root.querySelector('tbody').replaceChildren(...rows);
  }

  row({ name, colour, seeds, cells }) {
    const dot = element('i', { ariaHidden: 'true' });
    dot.style.background = colour;
    const values = cells.map((cell) => {
      if (!cell) return element('td', {}, '–');
      const number = element(cell.best ? 'b' : 'span', {}, cell.text);
      return element('td', {}, number, ...(cell.spread ? [element('small', {}, cell.spread)] : []));
    });
    return element('tr', {}, element('th', { scope: 'row', title: name }, dot, name), element('td', {}, String(seeds)), ...values);
  }
}

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data, parentElement }) {
  const root = parentElement.querySelector('.figures');
  if (!tables.has(root)) tables.set(root, new Table(root));
  tables.get(root).update(data);
}
