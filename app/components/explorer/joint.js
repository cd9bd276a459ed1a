// Panels of all tasks, and what those of joint kinds may ask the server for: predictions aside, and what goes on.

import { viewOf } from '../kinds/base.js';
import { Answers } from './answers.js';
import { element, ValuePanel } from './panels.js';
import { PicturePanel } from './picture_panel.js';
import { withUnit } from './numbers.js';
import { formatAll } from './simplex.js';

/** One panel per task; of a joint kind, the first task has the kind's own panel for all. host(task): what it is told. */
export function panelsFor(tasks, viewChanged, host) {
  const told = new Set();
  const shown = tasks.filter((task) => !task.joint || (!told.has(task.view) && told.add(task.view)));
  return shown.map((task) => {
    const own = task.joint && viewOf(task).panel;
    if (own) return own(host(task));
    return task.pictured ? new PicturePanel(task, { viewChanged }) : new ValuePanel(task);
  });
}

/** The one stream of a page: its parts go to the panels, and what comes of an earlier one is left alone. */
export class Asking {
  /** question(λ): the message that asks for the prediction on screen at λ; seed: of what is drawn; seeded(seed): a new one. */
  constructor(question, seed, seeded) {
    Object.assign(this, { question, seed, seeded, current: null });
  }

  /** What the panel of a joint kind gets; see the room of kinds. */
  host(task, tasks) {
    return {
      task,
      all: tasks,
      tasks: tasks.filter((other) => other.joint && other.view === task.view),
      seed: this.seed,
      seeded: this.seeded,
      element,
      withUnit,
      formatAll,
      ask: (preference, purpose) => this.connection.predict({ ...this.question(preference), exact: false }, purpose),
      stream: (preference, seed) => this.stream(preference, seed),
      stop: () => this.stop(),
    };
  }

  stream(preference, seed) {
    const { model, image } = this.question(preference);
    this.current = this.connection.ask({ type: 'stream', model, image, preference, seed });
  }

  stop() {
    if (this.current) this.connection.requests.delete(this.connection.ask({ type: 'stop' })?.seq); // not answered
    this.current = null;
  }

  /** Hand on an answer that is for the panels alone; whether it was one. */
  took(header, request, image, panels) {
    if (header.type === 'stream') {
      if (request === this.current && request.image === image) panels.forEach((panel) => panel.went?.(header, request.preference));
      return true;
    }
    if (header.type !== 'prediction' || request.purpose === 'now' || Answers.mine(request)) return false;
    if (request.image === image) {
      for (const [task, values] of Object.entries(header.values)) {
        panels.find((panel) => panel.task.name === task)?.setAside?.(request.purpose, values);
      }
    }
    return true;
  }

  /** A request was refused; whether what was said of it is stale. */
  failed(request, panels) {
    if (request?.type !== 'stream') return false;
    if (request !== this.current) return true;
    panels.forEach((panel) => panel.went?.({ done: true }, request.preference));
    return false;
  }
}
