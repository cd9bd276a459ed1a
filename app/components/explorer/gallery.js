// The row of inputs to choose from, with thumbnails that arrive over the socket; and what its users share with it.

import { element } from './panels.js';

const MOST_THUMBNAILS = 64; // of one request

export class Gallery {
  /** chosen(image id) is called when another input is clicked, or reached with the arrow keys. */
  constructor(node, chosen) {
    Object.assign(this, { node, chosen });
    node.addEventListener('keydown', (event) => this.walk(event));
  }

  /** images: [{id, label}]; pictures: whether they have thumbnails, or names instead. */
  show(images, current, pictures) {
    this.images = images;
    this.places = new Map();
    this.node.hidden = images.length < 2;
    this.node.classList.toggle('p-named', !pictures);
    this.node.replaceChildren(
      ...images.map(({ id, label }) => {
        const picture = pictures ? element('img', { alt: '' }) : element('span', { textContent: label });
        const button = element('button', { type: 'button', title: label, role: 'radio', 'aria-label': label }, picture);
        button.addEventListener('click', () => this.chosen(id));
        this.places.set(id, { button, picture });
        return button;
      }),
    );
    this.mark(current);
  }

  mark(current) {
    this.current = current;
    for (const [id, { button }] of this.places) {
      button.setAttribute('aria-checked', id === current);
      button.tabIndex = id === current ? 0 : -1;
    }
  }

  walk(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const ids = this.images.map((image) => image.id);
    const next = ids[(ids.indexOf(this.current) + by + ids.length) % ids.length];
    this.chosen(next);
    this.places.get(next).button.focus();
  }

  /** The message that asks for the thumbnails. */
  request(model) {
    return { type: 'gallery', model, images: this.images.map((image) => image.id).slice(0, MOST_THUMBNAILS) };
  }

  /** The answer to it. */
  fill({ images, blobs }) {
    images.forEach((id, i) => {
      const found = this.places.get(id);
      if (!found || !blobs[i].length) return;
      const address = URL.createObjectURL(new Blob([blobs[i]], { type: 'image/webp' }));
      found.picture.onload = () => URL.revokeObjectURL(address);
      found.picture.src = address;
    });
  }
}

/** The pictures of an answer, in the order of its header. */
export function decode(header) {
  return Promise.all(
    header.pictures.map((picture, i) => {
      const bytes = header.blobs[i];
      if (picture.mime) return createImageBitmap(new Blob([bytes], { type: picture.mime }));
      return bitmapOf(colour(picture, bytes));
    }),
  );
}

/** A bitmap that keeps its pixels, for whoever reads them. */
const bitmapOf = async (image) => Object.assign(await createImageBitmap(image), { pixels: image });

/** A picture sent as bare pixels: RGB, or colours [N] of four bytes and then an index per pixel. */
function colour({ colours, width, height }, bytes) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  if (colours) {
    const palette = new Uint32Array(bytes.slice(0, 4 * colours).buffer);
    for (let i = 0; i < pixels.length; i += 1) pixels[i] = palette[bytes[4 * colours + i]];
    return image;
  }
  for (let i = 0, k = 0; k < bytes.length; i += 4, k += 3) {
    image.data[i] = bytes[k];
    image.data[i + 1] = bytes[k + 1];
    image.data[i + 2] = bytes[k + 2];
    image.data[i + 3] = 255;
  }
  return image;
}

/** An input without a picture: rows of [what, text], a text, or a sound by its address. */
export function tell(node, { rows, text, sound }) {
  const row = (cells) => element('div', { className: 'p-row' }, ...cells.map((textContent) => element('span', { textContent })));
  const parts = (rows ?? []).map(row);
  if (text != null) parts.push(element('p', { className: 'p-text', textContent: text }));
  if (sound) parts.push(element('audio', { controls: true, src: sound }));
  node.replaceChildren(...parts);
}

/** One line below the pictures; problems stand out. */
export function say(node, text, problem = false) {
  node.textContent = text;
  node.classList.toggle('p-problem', problem);
}

/** How an answer came about, in words. */
export const origin = (header) =>
  header.cached ? 'prepared while nothing moved' : `computed in ${header.network_ms.toFixed(0)} ms`;
