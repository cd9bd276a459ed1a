// When the handle of the pad is drawn while it moves: with the answer, or alone if that takes long.

// A drawing of the page costs more than a picture's way here, so one that follows the handle waits for the answer that
// is on its way: this many ms where answers are quick, and at most so many where they are not.
const SOON = 24;
const PATIENCE = 150;
const BEHIND = 7.5; // ms that timers come late where a page has no time for drawings in between

export class Handle {
  /** handle(): draws it alone; all(): brings everything to the present λ; alone: whether it can be drawn by itself. */
  constructor({ handle, all, alone }) {
    Object.assign(this, { handle, all, alone });
    this.round = this.late = 0; // ms: of the last answer's way; of the page behind its timers, smoothed
  }

  /** λ has changed: unless an answer comes first, the handle is drawn a little later, the later the less time there is. */
  moved() {
    if (this.alone && !this.moving) {
      const wait = this.round < SOON ? SOON : PATIENCE * Math.min(1, this.late / BEHIND);
      const due = performance.now() + wait;
      this.moving = setTimeout(() => {
        this.moving = null;
        this.late += 0.3 * (performance.now() - due - this.late);
        this.handle();
      }, wait);
    }
    this.overdue ??= setTimeout(this.all, this.alone ? PATIENCE : 0);
  }

  /** Everything is being drawn. */
  drawn() {
    for (const timer of [this.moving, this.overdue]) clearTimeout(timer);
    this.moving = this.overdue = null;
    this.late *= 0.8;
  }
}
