// Dragging with mouse, finger or pen: from the button's going down to its going up.

const PAUSE = 7; // ms; a mouse may report a thousand times a second

/**
 * Calls move(event) when the button goes down on `node` and at every movement after, end() when it goes up.
 * early: tell of movements before the next frame too, where the browser does (it does on localhost and over https).
 */
export function draggable(node, move, end, early = false) {
  let last = null; // the event handled last, while dragging
  const follow = (event) => move((last = event));
  const moved = (event) => last && (event.clientX !== last.clientX || event.clientY !== last.clientY);
  node.addEventListener('pointerdown', (event) => {
    if (event.button > 0) return;
    node.setPointerCapture(event.pointerId);
    node.focus({ preventScroll: true });
    follow(event);
  });
  node.addEventListener('pointermove', (event) => moved(event) && follow(event));
  // An answer that is asked for at once may come within that frame.
  node.addEventListener('pointerrawupdate', (event) => {
    if (early && last && event.timeStamp - last.timeStamp > PAUSE) follow(event);
  });
  for (const name of ['pointerup', 'pointercancel']) {
    node.addEventListener(name, () => {
      if (last) end();
      last = null;
    });
  }
}
