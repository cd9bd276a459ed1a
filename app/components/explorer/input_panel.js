// The panel of the input: what it shows, the fields that may be changed, what is to be known of it, and the gallery.

import { Gallery, tell } from './gallery.js';
import { element } from './panels.js';
import { RecordForm } from './record.js';

export class InputPanel {
  /** chosen(image id): another input was chosen; edited(values): a field was changed; inside: a panel has the input in it. */
  constructor(data, { chosen, edited, inside }) {
    this.canvas = element('canvas', { width: 640, height: 480, role: 'img', 'aria-label': 'input' });
    const head = element('header', {}, element('h3', { textContent: 'Input' }));
    const row = element('div', { className: 'p-gallery', role: 'radiogroup', 'aria-label': 'Input' });
    this.gallery = new Gallery(row, chosen);
    this.told = element('div', { className: 'p-told', hidden: data.pictures || inside });
    this.form = new RecordForm(this.told, edited);
    const body = element('div', { className: 'p-body', hidden: !data.pictures }, this.canvas);
    this.notice = element('p', { className: 'p-notice', hidden: true });
    const rule = element('p', { className: 'p-rule', textContent: data.chosen, hidden: !data.chosen });
    this.node = element('section', { className: 'p-panel p-input', 'aria-label': 'Input' }, head, body, this.told, this.notice, row, rule);
  }

  /** What can be chosen, and which of them is. */
  show({ images, pictures }, image) {
    this.images = images;
    this.gallery.show(images, image, pictures);
    this.mark(image);
  }

  /** Another input is the one on screen; with what is to be known of one that is not from the model's own data. */
  mark(image) {
    this.gallery.mark(image);
    this.chosen = this.images.find(({ id }) => id === image);
    Object.assign(this.notice, { textContent: this.chosen?.note ?? '', hidden: !this.chosen?.note });
  }

  /** The input itself: its picture, its fields, or what is told of it. */
  fill(picture, input) {
    if (picture) {
      this.canvas.height = Math.round((this.canvas.width * picture.height) / picture.width);
      this.node.style.setProperty('--aspect', picture.width / picture.height);
      this.canvas.setAttribute('aria-label', `input: ${this.chosen?.label ?? 'a picture'}`);
      this.canvas.getContext('2d').drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
    }
    if (input?.fields) this.form.show(input.fields);
    else if (input) tell(this.told, input);
  }
}
