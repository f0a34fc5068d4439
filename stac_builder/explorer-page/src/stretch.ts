/** Values of bands as grey values. */

import { Band } from "./tiff";

export interface Limits {
  black: number;
  white: number;
  gamma: number;
}

/** A percentile of the finite values of a band, the nearest one that occurs. */
function percentile(sorted: Float64Array, part: number): number {
  return sorted.length ? sorted[Math.floor(part * (sorted.length - 1))] : 0;
}

/** From the 2nd to the 98th percentile of a band, or from its least to its greatest value. */
export function limitsOf(band: Band, all: boolean): Limits {
  const sorted = Float64Array.from(band as ArrayLike<number>).filter(Number.isFinite).sort();
  const [low, high] = all ? [0, 1] : [0.02, 0.98];
  const black = percentile(sorted, low);
  const white = percentile(sorted, high);
  return { black, white: white > black ? white : black + 1, gamma: 1 };
}

/** A picture of one or three bands. */
export function picture(bands: Band[], limits: Limits[], width: number, height: number): ImageData {
  const image = new ImageData(width, height);
  for (let channel = 0; channel < 3; channel += 1) {
    const band = bands[channel % bands.length];
    const { black, white, gamma } = limits[channel % limits.length];
    const span = white - black;
    for (let at = 0; at < width * height; at += 1) {
      const part = (band[at] - black) / span;
      const inside = part > 0 ? (part < 1 ? part : 1) : 0; // NaN is black
      image.data[4 * at + channel] = Math.round(255 * (gamma === 1 ? inside : inside ** gamma));
    }
  }
  for (let at = 3; at < image.data.length; at += 4) image.data[at] = 255;
  return image;
}

/** A band at another size, each pixel the nearest one. */
export function resized(band: Band, from: [number, number], to: [number, number]): Band {
  if (from[0] === to[0] && from[1] === to[1]) return band;
  const found = new Float64Array(to[0] * to[1]);
  for (let y = 0; y < to[1]; y += 1) {
    const line = Math.floor((y * from[1]) / to[1]) * from[0];
    for (let x = 0; x < to[0]; x += 1) found[y * to[0] + x] = band[line + Math.floor((x * from[0]) / to[0])];
  }
  return found;
}
