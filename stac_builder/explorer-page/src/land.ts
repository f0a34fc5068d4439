/**
 * Land: Natural Earth at 1:110 million (public domain), by way of world-atlas 2.0.2, cut at 180
 * degrees and thinned. Rings in tenths of a degree, each number the step from the one before it. The
 * build puts the file beside the page as well, where Python reads it for maps in notebooks.
 */
import STEPS from "./land.txt";

/** The rings, longitudes and latitudes one after the other. */
export function land(): Float32Array[] {
  return STEPS.split(";").map((ring) => {
    const steps = ring.match(/-?\d+/g)!.map(Number);
    const points = new Float32Array(steps.length);
    let x = 0;
    let y = 0;
    for (let at = 0; at < steps.length; at += 2) {
      points[at] = (x += steps[at]!) / 10;
      points[at + 1] = (y += steps[at + 1]!) / 10;
    }
    return points;
  });
}
