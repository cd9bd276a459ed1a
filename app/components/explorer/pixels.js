// Pixels of pictures: reading them, and texts drawn on a canvas.

const LABEL_SHARE = 0.035;


const scratch = document.createElement('canvas');

/** RGBA of a layer at its own size. */
export function pixelsOf(layer) {
  if (layer.pixels) return layer.pixels;
  scratch.width = layer.width;
  scratch.height = layer.height;
  const context = scratch.getContext('2d', { willReadFrequently: true });
  context.clearRect(0, 0, layer.width, layer.height);
  context.drawImage(layer, 0, 0);
  return context.getImageData(0, 0, layer.width, layer.height);
}

/** Colours of a legend as numbers, as regions are found by them. */
export const packedColours = (read) => read.colours?.map((colour) => parseInt(colour.slice(1), 16)) ?? [];

/** Names on the larger regions, so that no class is told by its colour alone; unit: canvas pixels per CSS pixel. */
export function labelRegions(context, layer, read, unit) {
  const { width, height } = context.canvas;
  if (!width || !height) return;
  const { data } = pixelsOf(layer);
  longestRuns(data, layer.width, layer.height, packedColours(read)).forEach(({ area, x, y }, index) => {
    if (area < LABEL_SHARE * layer.width * layer.height) return;
    const [px, py] = [((x + 0.5) / layer.width) * width, ((y + 0.5) / layer.height) * height];
    const name = nameTag(read.classes[index], unit);
    const at = Math.min(width - name.width, Math.max(0, px - name.width / 2));
    const down = Math.min(height - name.height, Math.max(0, py - name.height / 2));
    context.drawImage(name, Math.round(at), Math.round(down));
  });
}

/** A word in a dark box at the top of a picture. */
export function tag(context, text, x, unit) {
  context.font = `600 ${11.5 * unit}px system-ui, sans-serif`;
  context.textAlign = 'left';
  context.textBaseline = 'top';
  const width = context.measureText(text).width + 8 * unit;
  context.fillStyle = 'rgba(0,0,0,.65)';
  context.fillRect(x, 5 * unit, width, 17 * unit);
  context.fillStyle = '#fff';
  context.fillText(text, x + 4 * unit, 8 * unit);
}

const nameTags = new Map();

/** A name in white with a dark rim, drawn once: text on a canvas of the page has the browser lay the page out first. */
function nameTag(name, unit) {
  const key = `${unit} ${name}`;
  if (nameTags.has(key)) return nameTags.get(key);
  if (nameTags.size > 500) nameTags.clear(); // sizes of a window that is being dragged
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d');
  const font = `600 ${12 * unit}px system-ui, sans-serif`;
  context.font = font;
  canvas.width = Math.ceil(context.measureText(name).width + 6 * unit);
  canvas.height = Math.ceil(16 * unit);
  // A new width has reset the context.
  Object.assign(context, { font, textAlign: 'center', textBaseline: 'middle', lineWidth: 2.5 * unit, lineJoin: 'round' });
  context.strokeStyle = 'rgba(0,0,0,.75)';
  context.strokeText(name, canvas.width / 2, canvas.height / 2);
  context.fillStyle = '#fff';
  context.fillText(name, canvas.width / 2, canvas.height / 2);
  nameTags.set(key, canvas);
  return canvas;
}

/** Per class its area and the middle of its longest horizontal run. */
function longestRuns(data, width, height, colours) {
  const found = colours.map(() => ({ area: 0, length: 0, x: 0, y: 0 }));
  const index = new Map(colours.map((colour, i) => [colour, i]));
  for (let y = 0; y < height; y += 1) {
    let start = 0;
    let last = -1;
    for (let x = 0; x <= width; x += 1) {
      const i = 4 * (y * width + x);
      const now = x === width || data[i + 3] < 128 ? -1 : index.get((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]) ?? -1;
      if (now === last && x < width) continue;
      if (last >= 0) {
        const run = found[last];
        run.area += x - start;
        // Rows near the middle of a region win over rows of the same length at its edge.
        if (x - start > run.length * 1.02) Object.assign(run, { length: x - start, x: (start + x - 1) / 2, y });
      }
      [start, last] = [x, now];
    }
  }
  return found;
}
