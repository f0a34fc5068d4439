/**
 * Rasters of TIFFs, as far as catalogs of satimnet have them: strips or tiles, uncompressed, deflate
 * or LZW, with or without horizontal differencing. Of a COG the overview is read that is needed.
 *
 * A library for all TIFFs is forty times as large as this page.
 */

import { expanded } from "./fetching";

export type Band = Uint8Array | Uint16Array | Uint32Array | Int16Array | Int32Array | Float32Array | Float64Array;

export interface Raster {
  width: number;
  height: number;
  bands: Band[];
  /** Colours of the values of its only band, red, green and blue, if it has any. */
  palette?: Uint8Array;
}

type Read = (first: number, size: number) => Promise<Uint8Array>;

const HEAD = 2 ** 16;
const MOST_SAMPLES = 2 ** 27;
const MOST_BLOCKS = 2 ** 16;
const SIZES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];

interface Level {
  [tag: number]: number[];
}

/** The raster of a TIFF of `total` bytes, at most about `most` pixels wide and high. */
export async function readTiff(read: Read, total: number, most: number): Promise<Raster> {
  const levels = await levelsOf(read, total);
  const pictures = levels.filter((one) => !((one[254]?.[0] ?? 0) & 4)); // no masks of validity
  const first = pictures[0];
  if (!first) throw new Error("this is no TIFF");
  const side = (one: Level) => Math.max(one[256]?.[0] ?? 0, one[257]?.[0] ?? 0);
  const fitting = pictures.filter((one) => side(one) <= most);
  const chosen = fitting[0] ?? pictures[pictures.length - 1];
  const colours = chosen[320] ?? first[320];
  const raster = await decode(chosen, read, total, little.get(levels)!);
  if (colours?.length && raster.bands.length === 1) {
    const length = colours.length / 3;
    raster.palette = new Uint8Array(3 * length);
    for (let at = 0; at < colours.length; at += 1) {
      raster.palette[3 * (at % length) + Math.floor(at / length)] = colours[at] >> 8;
    }
  }
  return raster;
}

const little = new WeakMap<Level[], boolean>();

async function levelsOf(read: Read, total: number): Promise<Level[]> {
  const head = await read(0, Math.min(HEAD, total));
  const bytes = async (first: number, size: number): Promise<DataView> => {
    if (!(first >= 0 && size >= 0 && first + size <= total)) throw new Error("a TIFF that is broken");
    const part = first + size <= head.length ? head.subarray(first, first + size) : await read(first, size);
    return new DataView(part.buffer, part.byteOffset, part.byteLength);
  };
  const start = await bytes(0, Math.min(8, total));
  const ends = start.getUint16(0) === 0x4949;
  if (!(ends || start.getUint16(0) === 0x4d4d) || start.getUint16(2, ends) !== 42) {
    throw new Error("a TIFF that is not read here");
  }
  const levels: Level[] = [];
  little.set(levels, ends);
  let next = start.getUint32(4, ends);
  while (next && levels.length < 32) {
    const number = (await bytes(next, 2)).getUint16(0, ends);
    const table = await bytes(next + 2, 12 * number + 4);
    const level: Level = {};
    for (let at = 0; at < number; at += 1) {
      const tag = table.getUint16(12 * at, ends);
      const type = table.getUint16(12 * at + 2, ends);
      const length = table.getUint32(12 * at + 4, ends);
      const width = SIZES[type] ?? 0;
      if (!WANTED.has(tag) || !width || length > MOST_BLOCKS * 4) continue;
      const values =
        width * length <= 4
          ? new DataView(table.buffer, table.byteOffset + 12 * at + 8, 4)
          : await bytes(table.getUint32(12 * at + 8, ends), width * length);
      level[tag] = Array.from({ length }, (_, index) =>
        type === 3 || type === 8
          ? values.getUint16(2 * index, ends)
          : type === 4 || type === 9
            ? values.getUint32(4 * index, ends)
            : width === 1
              ? values.getUint8(index)
              : 0,
      );
    }
    levels.push(level);
    next = table.getUint32(12 * number, ends);
  }
  return levels;
}

const WANTED = new Set([254, 256, 257, 258, 259, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 339]);

async function decode(level: Level, read: Read, total: number, ends: boolean): Promise<Raster> {
  const one = (tag: number, otherwise: number) => level[tag]?.[0] ?? otherwise;
  const [width, height] = [one(256, 0), one(257, 0)];
  const samples = one(277, 1);
  const bits = one(258, 1);
  const format = one(339, 1);
  const compression = one(259, 1);
  const predictor = one(317, 1);
  const separate = one(284, 1) === 2;
  if (!(width > 0 && height > 0 && samples > 0 && width * height * samples <= MOST_SAMPLES)) {
    throw new Error(`an image of ${width} × ${height} is too large to be shown here`);
  }
  if (![1, 5, 8, 32946].includes(compression) || ![1, 2].includes(predictor)) {
    throw new Error(`a TIFF of compression ${compression} and predictor ${predictor} is not shown here`);
  }
  const make = arrays[`${format === 3 ? "f" : format === 2 ? "i" : "u"}${bits}`];
  if (!make) throw new Error(`a TIFF of ${bits} bits of format ${format} is not shown here`);
  const tiled = level[322] !== undefined;
  const wide = tiled ? one(322, 0) : width;
  const high = tiled ? one(323, 0) : Math.min(one(278, height), height);
  const offsets = level[tiled ? 324 : 273] ?? [];
  const lengths = level[tiled ? 325 : 279] ?? [];
  const across = Math.ceil(width / wide);
  const down = Math.ceil(height / high);
  const planes = separate ? samples : 1;
  if (!(wide > 0 && high > 0) || offsets.length < across * down * planes || wide * high > MOST_SAMPLES) {
    throw new Error("a TIFF that is broken");
  }
  const bands = Array.from({ length: samples }, () => make(width * height));
  const inside = separate ? 1 : samples;
  const size = bits / 8;
  const block = async (at: number): Promise<void> => {
    if (!lengths[at]) return; // a sparse one
    if (!(offsets[at] + lengths[at] <= total)) throw new Error("a TIFF that is broken");
    const packed = await read(offsets[at], lengths[at]);
    const plane = separate ? Math.floor(at / (across * down)) : 0;
    const place = at % (across * down);
    const [left, top] = [(place % across) * wide, Math.floor(place / across) * high];
    const lines = tiled ? high : Math.min(high, height - top);
    const data =
      compression === 1
        ? packed
        : compression === 5
          ? unLzw(packed, wide * lines * inside * size)
          : await expanded(packed, "deflate");
    if (data.length < wide * lines * inside * size) throw new Error("a TIFF that is broken");
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const value = reader(view, bits, format, ends);
    const running = new Float64Array(inside);
    const modulus = 2 ** bits;
    for (let y = 0; y < Math.min(lines, height - top); y += 1) {
      running.fill(0);
      for (let x = 0; x < wide; x += 1) {
        for (let sample = 0; sample < inside; sample += 1) {
          let found = value((y * wide + x) * inside + sample);
          if (predictor === 2) found = running[sample] = (running[sample] + found) % modulus;
          if (left + x < width) bands[plane + sample][(top + y) * width + left + x] = found;
        }
      }
    }
  };
  const numbers = offsets.map((_, at) => at).slice(0, across * down * planes);
  // neighbouring blocks are fetched side by side, not all at once
  for (let at = 0; at < numbers.length; at += 12) {
    await Promise.all(numbers.slice(at, at + 12).map(block));
  }
  return { width, height, bands };
}

const arrays: Record<string, (length: number) => Band> = {
  u8: (length) => new Uint8Array(length),
  u16: (length) => new Uint16Array(length),
  u32: (length) => new Uint32Array(length),
  i16: (length) => new Int16Array(length),
  i32: (length) => new Int32Array(length),
  f32: (length) => new Float32Array(length),
  f64: (length) => new Float64Array(length),
};

function reader(view: DataView, bits: number, format: number, ends: boolean): (at: number) => number {
  if (format === 3) {
    return bits === 32 ? (at) => view.getFloat32(4 * at, ends) : (at) => view.getFloat64(8 * at, ends);
  }
  if (bits === 8) return (at) => view.getUint8(at);
  if (bits === 16) {
    return format === 2 ? (at) => view.getInt16(2 * at, ends) : (at) => view.getUint16(2 * at, ends);
  }
  return format === 2 ? (at) => view.getInt32(4 * at, ends) : (at) => view.getUint32(4 * at, ends);
}

/** LZW as TIFF 6.0 has it, section 13. */
function unLzw(packed: Uint8Array, size: number): Uint8Array {
  const found = new Uint8Array(size);
  const from = new Int32Array(4097); // where the text of a code begins in `found`
  const length = new Int32Array(4097);
  let [next, width, bits, held, to, before, beforeLength] = [258, 9, 0, 0, 0, -1, 0];
  for (let at = 0; at < packed.length && to < size; ) {
    while (bits < width && at < packed.length) {
      held = ((held << 8) | packed[at++]) & 0xffffff;
      bits += 8;
    }
    if (bits < width) break;
    const code = (held >> (bits - width)) & ((1 << width) - 1);
    bits -= width;
    if (code === 257) break;
    if (code === 256) {
      [next, width, before] = [258, 9, -1];
      continue;
    }
    const begin = to;
    if (code < 256) {
      found[to++] = code;
    } else if (code < next) {
      for (let step = 0; step < length[code] && to < size; step += 1) found[to++] = found[from[code] + step];
    } else {
      if (before < 0) throw new Error("a TIFF that is broken");
      for (let step = 0; step < beforeLength && to < size; step += 1) found[to++] = found[before + step];
      if (to < size) found[to++] = found[before];
    }
    if (before >= 0 && next < 4096) {
      from[next] = before;
      length[next] = beforeLength + 1; // the text before, and what follows it: the first of this one
      next += 1;
    }
    if (next >= (1 << width) - 1 && width < 12) width += 1;
    before = begin;
    beforeLength = to - begin;
  }
  return found;
}

const TYPES: Record<string, string> = {
  ...{ "<u2": "u16", "<u4": "u32", "<i2": "i16", "<i4": "i32", "<f4": "f32", "<f8": "f64" },
  ...{ "|u1": "u8", uint8: "u8", uint16: "u16", uint32: "u32", int16: "i16", int32: "i32" },
  ...{ float32: "f32", float64: "f64", "u1": "u8", "<u1": "u8" },
  ...{ ">u2": "U16", ">u4": "U32", ">i2": "I16", ">i4": "I32", ">f4": "F32", ">f8": "F64" },
};

/**
 * The raster whose pixels lie in one run, as `satimnet:pixels` tells; undefined if they do not.
 *
 * Its offset counts from the start of the shard, not of the member.
 */
export function readRun(pixels: any, member: Uint8Array, first: number): Raster | undefined {
  const type = TYPES[pixels?.dtype];
  const { offset, shape, order } = pixels ?? {};
  if (!type || !Array.isArray(shape) || !Array.isArray(order) || shape.length !== order.length) return undefined;
  const make = arrays[type.toLowerCase()];
  const lengths: Record<string, number> = { band: 1 };
  order.forEach((axis: string, at: number) => (lengths[axis] = shape[at]));
  const { x: width, y: height, band: count } = lengths;
  const bits = Number(type.slice(1));
  const values = width * height * count;
  const begin = offset - first;
  if (!(Number.isInteger(values) && values > 0 && values <= MOST_SAMPLES)) return undefined;
  if (!(Number.isInteger(begin) && begin >= 0 && begin + (values * bits) / 8 <= member.length)) return undefined;
  const steps: Record<string, number> = {};
  let step = 1;
  for (const axis of [...order].reverse()) {
    steps[axis] = step;
    step *= lengths[axis];
  }
  const view = new DataView(member.buffer, member.byteOffset + begin);
  const format = { u: 1, i: 2, f: 3 }[type[0].toLowerCase()]!;
  const value = reader(view, bits, format, type[0] === type[0].toLowerCase());
  const bands = Array.from({ length: count }, (_, band) => {
    const found = make(width * height);
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        found[y * width + x] = value(band * (steps.band ?? 0) + y * steps.y + x * steps.x);
      }
    }
    return found;
  });
  return { width, height, bands };
}
