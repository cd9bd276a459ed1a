// How long answers take: for the line below the pictures, and for measurements.

import { origin } from './gallery.js';
import { formatAll } from './simplex.js';

const KEPT_TIMES = 2000;
const LEGIBLE = 250; // ms that a number stays

export class Measuring {
  /** say(text): writes the line. */
  constructor(say) {
    Object.assign(this, { say, times: [], told: 0 });
  }

  /** An answer to a request is on screen. */
  note(header, request) {
    const now = performance.now();
    const time = { at: now, cached: header.cached, network: header.network_ms, round: now - request.sent };
    if (request.since !== undefined) time.latency = now - request.since;
    this.times.push(time);
    if (this.times.length > KEPT_TIMES) this.times.shift();
    // Nobody reads faster, and what is written after a frame was laid out has it laid out again.
    if (time.latency !== undefined && now - this.told < LEGIBLE) return;
    this.told = now;
    const near = header.preference.some((v, t) => Math.abs(v - request.preference[t]) > 1e-6);
    const at = near ? ` · while moving, pictures of the nearest prepared λ = ${formatAll(header.preference)}` : '';
    const shown = time.latency === undefined ? '' : `${time.latency.toFixed(0)} ms from input to pixels, `;
    this.say(`${shown}${origin(header)}${at}`);
  }
}
