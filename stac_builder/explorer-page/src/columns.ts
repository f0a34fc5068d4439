/** The columns of a collection, as `explorer.json` and `explorer.bin` have them. */

import { expanded, json, part, place, sizeOf } from "./fetching";

export const NONE = 2 ** 31 - 1;
const FORMAT = "satimnet-explorer-1";
const MOST_ITEMS = 2 ** 26;

interface Told {
  kind: "u8" | "u16" | "delta32" | "names";
  first: number;
  size: number;
  count: number;
  unit?: number;
}

export interface Header {
  collection: string;
  items: number;
  items_as: "json" | "pages" | "none";
  page_size: number;
  classes: string[];
  concepts: string[];
  splits: string[];
  countries: string[];
  nodes: string[];
  shards: string[];
  kinds: { assets: string[]; bands: number[] }[];
  assets: Record<string, { bands: string[]; roles: string[] | null }>;
  without_place: number;
  columns: Record<string, Told>;
  data: { href: string; size: number; first_screen: number };
  index: { href: string; size: number; sha256: string };
  findings?: { href: string; items: number };
  previews?: {
    items: number;
    files: string[];
    side: number;
    stretch?: { black: number[]; white: number[]; gamma: number };
  };
}

export type Numbers = Uint8Array | Uint16Array | Uint32Array;

/** A header and the columns that are fetched of it. */
export class Columns {
  private found = new Map<string, Numbers>();
  private names?: Promise<string>;

  private constructor(
    readonly url: string,
    readonly header: Header,
  ) {}

  /** Opens the columns at a URL, and fetches those of the first screen. */
  static async open(url: string): Promise<Columns> {
    const header = (await json(url)) as Header & { format: string };
    if (header.format !== FORMAT || !(header.items <= MOST_ITEMS)) {
      throw new Error(`${url} is of another version; run satimnet explorer`);
    }
    const columns = new Columns(url, header);
    const size = await sizeOf(place(header.index.href, url));
    if (size !== undefined && size !== header.index.size) {
      throw new Error(`${url} belongs to another items.parquet; run satimnet explorer`);
    }
    if (header.items) await columns.fetch(columns.within(0, header.data.first_screen));
    if (header.previews) columns.findPreviews(header.previews.files.length);
    return columns;
  }

  /** Previews of a file lie one after another, in the order of the rows. */
  private findPreviews(files: number): void {
    const ends = new Uint32Array(files);
    const [file, size] = [this.of("preview_files"), this.of("preview_sizes")];
    const firsts = new Uint32Array(size.length);
    for (let row = 0; row < size.length; row += 1) {
      firsts[row] = ends[file[row]];
      ends[file[row]] += size[row];
    }
    this.found.set("preview_firsts", firsts);
  }

  private within(start: number, end: number): string[] {
    return Object.entries(this.header.columns)
      .filter(([, told]) => told.first >= start && told.first + told.size <= end)
      .map(([name]) => name);
  }

  /** Fetches columns in one request, and keeps them. */
  async fetch(names: string[]): Promise<void> {
    const left = names.filter((name) => !this.found.has(name) && name !== "ids");
    const told = left.map((name) => this.header.columns[name]).filter((one) => one !== undefined);
    if (!told.length) return;
    const first = Math.min(...told.map((one) => one.first));
    const end = Math.max(...told.map((one) => one.first + one.size));
    const bytes = await part(this.data, first, end - first);
    await Promise.all(
      left.map(async (name, at) => {
        const one = told[at];
        const own = bytes.subarray(one.first - first, one.first - first + one.size);
        this.found.set(name, decoded(await expanded(own), one, this.url));
      }),
    );
  }

  private get data(): string {
    return place(this.header.data.href, this.url);
  }

  /** A column that was fetched; zeros where the header has none. */
  of(name: string): Numbers {
    return this.found.get(name) ?? new Uint8Array(this.header.items);
  }

  has(name: string): boolean {
    return this.found.has(name);
  }

  /** A number of a column, in bytes where it counts units. */
  at(name: string, row: number): number {
    return this.of(name)[row] * (this.header.columns[name]?.unit ?? 1);
  }

  /** All ids, each with a line end before it; one more at the end. */
  ids(): Promise<string> {
    this.names ??= (async () => {
      const told = this.header.columns.ids;
      if (!told.count) return "\n";
      const bytes = await expanded(await part(this.data, told.first, told.size));
      return unfolded(bytes, told.count);
    })();
    return this.names;
  }
}

function decoded(bytes: Uint8Array, told: Told, where: string): Numbers {
  const width = { u8: 1, u16: 2, delta32: 4, names: 0 }[told.kind];
  if (bytes.length !== told.count * width) throw new Error(`${where}: a column is broken`);
  if (told.kind === "u8") return bytes;
  const { count } = told;
  if (told.kind === "u16") {
    const values = new Uint16Array(count);
    for (let at = 0; at < count; at += 1) values[at] = bytes[at] | (bytes[count + at] << 8);
    return values;
  }
  const values = new Uint32Array(count);
  let before = 0;
  for (let at = 0; at < count; at += 1) {
    const folded =
      bytes[at] |
      (bytes[count + at] << 8) |
      (bytes[2 * count + at] << 16) |
      (bytes[3 * count + at] << 24);
    before = (before + ((folded >>> 1) ^ -(folded & 1))) | 0;
    values[at] = before;
  }
  return values;
}

function unfolded(bytes: Uint8Array, count: number): string {
  const line = 10;
  let size = bytes.length + 1;
  for (let at = 0; at < count; at += 1) size += bytes[at];
  const text = new Uint8Array(size);
  let from = count;
  let to = 0;
  let before = 0; // where the name before begins
  for (let at = 0; at < count; at += 1) {
    text[to] = line;
    to += 1;
    const begin = to;
    text.copyWithin(to, before, before + bytes[at]);
    to += bytes[at];
    while (bytes[from] !== line) text[to++] = bytes[from++];
    from += 1;
    before = begin;
  }
  text[to] = line;
  return new TextDecoder().decode(text.subarray(0, to + 1));
}
