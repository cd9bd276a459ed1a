// All that is shown of one input: its panel, and one panel per task, each with what is predicted at λ.

import { InputPanel } from './input_panel.js';
import { panelsFor } from './joint.js';
import { pixelsOf } from './pixels.js';

export class Figures {
  /** node: where they are laid out; handlers: host(task), asked(), chosen(image), edited(values). */
  constructor(node, data, { host, asked, chosen, edited }) {
    this.panels = panelsFor(data.tasks, asked, host);
    this.input = new InputPanel(data, { chosen, edited, inside: this.panels.some((panel) => panel.showsInput) });
    node.append(this.input.node, ...this.panels.map((panel) => panel.node));
    const [count, drawn] = [data.tasks.length, this.drawn];
    node.classList.toggle('p-texts', this.panels.some((panel) => panel.showsInput));
    node.classList.toggle('p-plenty', count > 6 && this.panels.length > 1);
    node.classList.toggle('p-bars', count === 2 && !drawn);
    node.classList.toggle('p-even-pairs', count % 2 === 0 && count <= 6 && drawn);
    // Of one task the picture may be as tall as two of several.
    if (count === 1) node.style.setProperty('--tall', 'max(200px, calc(100svh - 300px))');
  }

  /** Whether any task is drawn. */
  get drawn() {
    return this.panels.some((panel) => panel.canvas);
  }

  of(task) {
    return this.panels.find((panel) => panel.task.name === task);
  }

  /** Names of the tasks whose errors are looked at. */
  errors() {
    return this.panels.filter((panel) => panel.view === 'error').map((panel) => panel.task.name);
  }

  /** Pixels of a task's picture as they came from the server, RGBA; for tests. */
  pixels(task) {
    const panel = this.of(task);
    return Array.from(pixelsOf(panel.layers[panel.view]).data);
  }

  /** A new input, with what the view begins with. */
  scene(header, bitmaps, began) {
    const found = (view, task) => bitmaps[header.pictures.findIndex((p) => p.view === view && p.task === task)];
    const picture = found('input', undefined);
    this.input.fill(picture, header.input);
    this.panels.forEach((panel) => {
      const entry = header.tasks[panel.task.name];
      const truth = panel.canvas ? found('truth', panel.task.name) : entry.truth;
      panel.setScene(picture, truth, entry.legend, began);
    });
  }

  /** What is predicted at λ. */
  paint({ header, bitmaps }) {
    header.pictures.forEach((picture, i) => {
      const panel = this.of(picture.task);
      panel?.setLayer(picture.view, bitmaps[i]);
      panel?.tell(header.preference);
    });
    for (const [task, values] of Object.entries(header.values)) this.of(task)?.setValues(values, header.preference);
  }

  /** What is predicted at the λ to compare with. */
  paintKept({ header, bitmaps }) {
    header.pictures.forEach((picture, i) => this.of(picture.task)?.setPinned(picture.view, bitmaps[i]));
    for (const [task, values] of Object.entries(header.values)) this.of(task)?.setPinned(values);
  }

  /** Left of `share` (0 to 1) pictures are those of the λ to compare with. */
  wipe(share) {
    this.panels.forEach((panel) => {
      panel.wipe = share;
      if (panel.canvas) panel.draw();
    });
  }
}
