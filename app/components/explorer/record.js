// An input of named fields: a widget for each, in which a person changes it.

import { element } from './panels.js';

const whole = (value, { low, high }) => Math.min(high, Math.max(low, Math.round(Number(value) || 0)));

export class RecordForm {
  /** changed(values) is called with all fields, by name, when one was changed. */
  constructor(node, changed) {
    Object.assign(this, { node, changed, names: '' });
  }

  /** fields: [{name, title, value, values | low, high, other?}]; widgets that are there stay, so that focus does. */
  show(fields) {
    this.fields = fields;
    const names = fields.map((field) => field.name).join();
    if (names !== this.names) this.build(fields);
    this.names = names;
    fields.forEach((field) => {
      const input = this.inputs.get(field.name);
      if (input.value !== String(field.value)) input.value = field.value;
    });
  }

  build(fields) {
    this.inputs = new Map();
    const rows = fields.map((field) => {
      const input = field.values ? this.choice(field) : this.number(field);
      input.setAttribute('aria-label', field.title);
      this.inputs.set(field.name, input);
      return element('label', { className: 'p-field' }, element('span', { textContent: field.title }), input);
    });
    const swaps = fields.filter((field) => field.other).map((field) => this.swap(field));
    this.node.replaceChildren(...swaps, element('div', { className: 'p-fields' }, ...rows));
  }

  choice(field) {
    const input = element('select');
    input.append(...field.values.map((value) => element('option', { value, textContent: value })));
    input.addEventListener('change', () => this.change(field.name, input.value));
    return input;
  }

  number(field) {
    const input = element('input', { type: 'number', min: field.low, max: field.high, step: 1 });
    input.addEventListener('change', () => {
      input.value = whole(input.value, field);
      this.change(field.name, Number(input.value));
    });
    return input;
  }

  swap({ name, other, values }) {
    const button = element('button', { type: 'button', className: 'p-swap', textContent: other });
    button.addEventListener('click', () => {
      const input = this.inputs.get(name);
      input.value = values[(values.indexOf(input.value) + 1) % values.length];
      this.change(name, input.value);
    });
    return button;
  }

  change(name, value) {
    this.fields = this.fields.map((field) => (field.name === name ? { ...field, value } : field));
    this.changed(Object.fromEntries(this.fields.map((field) => [field.name, field.value])));
  }
}
