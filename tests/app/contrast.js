// Texts of the page that stand out from what is behind them by less than 4.5 : 1 (WCAG 2.2, 1.4.3), each kind once.
() => {
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data].map((v, i) => (i === 3 ? v / 255 : v));
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // The number above a slider lies outside the handle that holds it; names on the maps have an outline; icons are none.
  const skipped = 'script, style, noscript, option, :disabled, [data-testid=stSliderThumbValue], .q-corner, [data-testid=stIconMaterial]';
  const found = new Map();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const holder = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    const box = holder.getBoundingClientRect();
    if (!text || holder.closest(skipped) || box.width < 2 || box.height < 2) continue;
    const style = getComputedStyle(holder);
    if (style.visibility === 'hidden') continue;
    let opacity = 1;
    const layers = [];
    for (let node = holder; node; node = node.parentElement) {
      opacity *= Number(getComputedStyle(node).opacity);
      if (!(node instanceof SVGElement) && (!layers.length || layers.at(-1)[3] < 1)) layers.push(rgba(getComputedStyle(node).backgroundColor));
    }
    const behind = layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
    const ink = rgba(holder instanceof SVGElement ? style.fill : style.color);
    ink[3] *= opacity;
    if (!opacity) continue; // shown under the pointer only
    const [light, dark] = [luminance(over(ink, behind)), luminance(behind)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.set(`${holder.tagName} ${holder.className.baseVal ?? holder.className}`, `${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...found.values()];
}
