// What is predicted at the candidates' λ for the input on screen: asked for once each, and kept while that input stays.

import { decode } from './gallery.js';

const PURPOSE = 'kept ';

export class Answers {
  /** ask(message, purpose): send a question; came(candidate's key, answer): one has arrived. */
  constructor(ask, came) {
    Object.assign(this, { ask, came, found: new Map(), asked: new Set(), image: null });
  }

  /** Whether an answer's purpose is one of these. */
  static mine(request) {
    return request.purpose?.startsWith(PURPOSE);
  }

  key({ model, preference }, errors) {
    return `${PURPOSE}${model} ${preference.join()} ${errors.join()}`;
  }

  of(candidate, errors = []) {
    return candidate ? this.found.get(this.key(candidate, errors)) : undefined;
  }

  /** Another input: nothing that was predicted is about it. */
  forget(image) {
    if (image === this.image) return;
    this.image = image;
    for (const { bitmaps } of this.found.values()) bitmaps.forEach((bitmap) => bitmap.close());
    this.found.clear();
    this.asked.clear();
  }

  /** Ask for what is not here yet; of candidates whose model has another input of this name there is nothing. */
  want(candidates, errors = []) {
    for (const one of this.image ? candidates : []) {
      const purpose = this.key(one, errors);
      if (!one.here || this.asked.has(purpose) || this.found.has(purpose)) continue;
      this.asked.add(purpose);
      const message = { type: 'predict', model: one.model, image: this.image, preference: one.preference, errors, exact: true };
      this.ask(message, purpose);
    }
  }

  /** One λ is looked at no more. */
  drop(candidate) {
    const purpose = this.key(candidate, []);
    this.found.get(purpose)?.bitmaps.forEach((bitmap) => bitmap.close());
    this.found.delete(purpose);
    this.asked.delete(purpose);
  }

  async took(header, request) {
    const bitmaps = await decode(header);
    if (request.image !== this.image) return;
    this.found.set(request.purpose, { header, bitmaps, image: request.image });
    this.came(request.purpose);
  }
}
