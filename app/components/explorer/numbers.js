// Figures for people: the browser's copy of palora_core/objectives/figures.py, which a test compares with it.

const DIGITS = 4;
const [LEAST, MOST] = [1e-4, 1e6]; // beyond these, numbers are written with an exponent

const known = (value) => value != null && Number.isFinite(value);
const stripped = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
const power = (value) => Number(value.toExponential(15).split('e')[1]);
const decimals = (value) => (value === 0 ? 0 : Math.min(12, Math.max(0, DIGITS - 1 - power(value))));

function significant(value) {
  if (value === 0) return '0';
  if (Math.abs(value) < LEAST || Math.abs(value) >= MOST) {
    const [mantissa, exponent] = value.toExponential(DIGITS - 1).split('e');
    return `${stripped(mantissa)}e${exponent}`;
  }
  const places = DIGITS - 1 - power(value);
  if (places >= 0) return stripped(value.toFixed(Math.min(12, places)));
  return value.toFixed(0);
}

/** A number with its unit: fractions in percent with one decimal, four significant digits otherwise. */
export function withUnit(value, unit) {
  if (!known(value)) return '–';
  if (unit === '%') return `${(100 * value).toFixed(1)} %`;
  return unit ? `${significant(value)} ${unit}` : significant(value);
}

/** What a figure has changed by, as the two are shown, with its sign; fractions in points. Without its unit. */
export function change(now, before, unit) {
  if (!known(now) || !known(before)) return '–';
  const percent = unit === '%';
  const shown = (value) => (percent ? Number((100 * value).toFixed(1)) : Number(significant(value)));
  const by = shown(now) - shown(before);
  const places = percent ? 1 : Math.max(decimals(now), decimals(before));
  const size = percent ? Math.abs(by).toFixed(1) : stripped(Math.abs(by).toFixed(places));
  return `${Number(size) === 0 ? '±' : by > 0 ? '+' : '−'}${size}`;
}

/** The same with its unit. */
export const changeWithUnit = (now, before, unit) => `${change(now, before, unit)} ${unit === '%' ? 'points' : unit ?? ''}`.trim();
