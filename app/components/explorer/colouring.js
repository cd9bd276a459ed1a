// How the colours of a picture are read: the legend below it, and what lies under the pointer in words.

import { amountOf, scaleOf } from './changes.js';
import { element } from './panels.js';
import { packedColours } from './pixels.js';
import { withUnit } from './numbers.js';

export const MARKED = ['error', 'change']; // pictures of places and amounts, not of what a task predicts
const WRONG = '#E8590C';

/** view: what the browser knows of the kind; read: the legend that came with the picture. */
export class Colouring {
  constructor(view, read) {
    Object.assign(this, { view, read });
  }

  /** A pixel in words; shown: which picture it is of. */
  describe(shown, [r, g, b, a]) {
    const marked = MARKED.includes(shown);
    if (this.marks(shown) && marked) {
      if (shown === 'error') return a > 127 ? `wrong ${this.noun()}` : 'correct';
      return a > 127 ? `another ${this.noun()} than at the λ to compare with` : `same ${this.noun()}`;
    }
    if (!marked && this.read.classes) {
      const index = packedColours(this.read).indexOf((r << 16) | (g << 8) | b);
      return a > 127 && index >= 0 ? this.read.classes[index] : 'unlabelled';
    }
    const { describe } = this.view;
    if (!marked && describe) return describe([r, g, b], this.read);
    const scale = shown === 'change' ? scaleOf(this.view, this.read) : marked ? this.read.error : this.read;
    if (!scale?.ramp) return '';
    if (r === 128 && g === 128 && b === 128) return 'unknown';
    const share = alongRamp(scale.ramp, [r, g, b]);
    return withUnit(scale.range[0] + share * (scale.range[1] - scale.range[0]), scale.unit);
  }

  /** Nodes that explain the picture; meanChange: how much changed since the pinned λ, where it is known. */
  legend(shown, meanChange) {
    const { read } = this;
    const marked = MARKED.includes(shown);
    const scale = shown === 'change' ? scaleOf(this.view, read) : marked && read.error ? read.error : read;
    const mean = () => this.meanText(shown === 'change' ? meanChange : null, shown);
    if (this.marks(shown) && marked) {
      const what = shown === 'error' ? `wrong ${this.noun()}` : `another ${this.noun()}`;
      return [chip(read.wrong ?? WRONG, what), mean()];
    }
    if (scale.classes) return scale.classes.map((name, i) => chip(scale.colours[i], name));
    if (scale.ramp) return [...rampLegend(scale, marked), mean()];
    return [element('span', { textContent: read.text ?? '' })];
  }

  /** Whether errors and changes are places that are marked, not amounts in colours of a ramp. */
  marks(shown) {
    return shown === 'change' ? !amountOf(this.view, this.read) : !this.read.error;
  }

  /** What is right or wrong at a pixel. */
  noun() {
    return this.read.classes ? 'class' : 'answer';
  }

  meanText(mean, shown) {
    return element('span', { textContent: mean == null ? '' : this.mean(mean, shown) });
  }

  /** How much differs, in words. */
  mean(mean, shown = 'change') {
    const unit = this.marks(shown) ? '%' : this.read.error?.unit;
    return `${withUnit(mean, unit)} ${unit === '%' ? 'of the pixels' : 'on average'}`;
  }
}

function rampLegend(scale, marked) {
  const bar = element('span', { className: 'p-ramp' });
  bar.style.background = `linear-gradient(90deg, ${scale.ramp.join(', ')})`;
  const words = scale.ends ?? ['', ''];
  const ends = scale.range.map((v, i) => `${marked && i ? '≥ ' : marked && scale.range[0] < 0 ? '≤ ' : ''}${withUnit(v, scale.unit)} ${words[i]}`.trim());
  return [element('span', { textContent: ends[0] }), bar, element('span', { textContent: ends[1] })];
}

const chip = (colour, name) => {
  const swatch = element('i');
  swatch.style.background = colour;
  return element('span', { className: 'p-chip' }, swatch, name);
};

/** Where on a ramp of hex colours a colour lies, 0 to 1. */
function alongRamp(ramp, colour) {
  const stops = ramp.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  let [best, share] = [Infinity, 0];
  for (let i = 0; i + 1 < stops.length; i += 1) {
    for (let step = 0; step <= 16; step += 1) {
      const t = step / 16;
      const off = colour.reduce((sum, v, c) => sum + (stops[i][c] * (1 - t) + stops[i + 1][c] * t - v) ** 2, 0);
      if (off < best) [best, share] = [off, (i + t) / (stops.length - 1)];
    }
  }
  return share;
}
