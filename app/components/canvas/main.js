// Strokes on a canvas; nothing leaves the browser before the button says so.

import { draggable } from '../explorer/drag.js';

const instances = new WeakMap();
const WIDTH = 1 / 15; // of a stroke, in sides of the canvas: that of handwritten digits in their frames

class Drawing {
  constructor(root, data) {
    Object.assign(this, { root, strokes: [], report: () => {} });
    this.find = (name) => root.querySelector(`.d-${name}`);
    this.canvas = root.querySelector('canvas');
    this.listen();
    this.update(data);
    root.drawing = this; // for tests
  }

  update({ marks }) {
    this.find('marks').replaceChildren(
      ...marks.map((mark) => {
        const frame = document.createElement('span');
        ['left', 'top', 'width', 'height'].forEach((side, k) => { frame.style[side] = `${100 * mark[k]}%`; });
        return frame;
      }),
    );
    this.paint();
  }

  paint() {
    const { canvas } = this;
    const pen = canvas.getContext('2d');
    pen.fillStyle = '#000';
    pen.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(pen, { strokeStyle: '#fff', lineWidth: WIDTH * canvas.width, lineCap: 'round', lineJoin: 'round' });
    for (const stroke of this.strokes) {
      pen.beginPath();
      pen.moveTo(...stroke[0]);
      for (const point of [...stroke.slice(1), stroke.at(-1)]) pen.lineTo(...point); // a dot is a line to itself
      pen.stroke();
    }
    for (const name of ['send', 'undo', 'clear']) this.find(name).disabled = !this.strokes.length;
  }

  listen() {
    const { canvas } = this;
    let drawing = false;
    const follow = (event) => {
      const box = canvas.getBoundingClientRect();
      const point = [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
      if (drawing) this.strokes.at(-1).push(point);
      else this.strokes.push([point]);
      drawing = true;
      this.paint();
    };
    draggable(canvas, follow, () => { drawing = false; });
    this.find('undo').addEventListener('click', () => this.change(this.strokes.slice(0, -1)));
    this.find('clear').addEventListener('click', () => this.change([]));
    this.find('send').addEventListener('click', () => this.report('drawn', canvas.toDataURL('image/png')));
  }

  change(strokes) {
    this.strokes = strokes;
    this.paint();
  }
}

/** Called by Streamlit at the first rendering and at every change of the data. */
export function mount({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector('.drawing');
  let drawing = instances.get(root);
  if (drawing) drawing.update(data);
  else instances.set(root, (drawing = new Drawing(root, data)));
  drawing.report = setStateValue;
}
