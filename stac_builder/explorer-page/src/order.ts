/** Orders of rows: mixed, so that the first screen shows many classes, or as the catalog has them. */

const RUN = 16; // neighbours, which one request fetches
const HAND = 12; // runs whose rows are mixed with each other

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffle(rows: Uint32Array, draw: () => number): void {
  for (let at = rows.length - 1; at > 0; at -= 1) {
    const other = Math.floor(draw() * (at + 1));
    [rows[at], rows[other]] = [rows[other], rows[at]];
  }
}

/**
 * Rows in runs of neighbours that are shuffled, and then the rows of some runs at a time.
 *
 * So a screen shows many classes, and takes a request a run, not a request a row.
 */
export function mixed(rows: Uint32Array, seed: number): Uint32Array {
  const length = Math.max(1, Math.min(RUN, Math.floor(rows.length / 400)));
  const runs = Math.ceil(rows.length / length);
  const order = new Uint32Array(runs).map((_, at) => at);
  const draw = random(seed);
  shuffle(order, draw);
  const found = new Uint32Array(rows.length);
  let to = 0;
  for (let hand = 0; hand < runs; hand += HAND) {
    const from = to;
    for (const run of order.subarray(hand, hand + HAND)) {
      for (const row of rows.subarray(run * length, (run + 1) * length)) found[to++] = row;
    }
    shuffle(found.subarray(from, to), draw);
  }
  return found;
}
