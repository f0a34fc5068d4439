/** What rows are filtered by: values with counts, of which any may be chosen. */

import { Catalog, Collection, Concept } from "./catalog";
import { NONE } from "./columns";
import { colourOf } from "./dom";
import { Findings } from "./findings";

export interface Value {
  id: string;
  title: string;
  colour?: string;
}

export interface Facet {
  key: string;
  title: string;
  values: Value[];
  /** Codes of a row's values are `codes[start[row]]` up to `codes[start[row + 1]]`. */
  start?: Uint32Array;
  /** Without `start` one code a row, of which 0 is none and 1 the first value. */
  codes: Uint16Array;
  chosen: Uint8Array;
  counts: Uint32Array;
  /** Whether the values are in an order of their own, as bars beside each other. */
  bars?: boolean;
}

class Values {
  readonly list: Value[] = [];
  private known = new Map<string, number>();

  code(id: string, make: () => Omit<Value, "id">): number {
    let at = this.known.get(id);
    if (at === undefined) {
      at = this.list.length;
      this.known.set(id, at);
      this.list.push({ id, ...make() });
    }
    return at;
  }
}

function facet(
  key: string,
  title: string,
  values: Value[],
  codes: Uint16Array,
  start?: Uint32Array,
  bars?: boolean,
): Facet {
  const size = values.length;
  return {
    ...{ key, title, values, codes, start, bars },
    chosen: new Uint8Array(size + 1),
    counts: new Uint32Array(size + 1),
  };
}

/** One value a row: `codes` of a collection give its values' names, of which 0 is none. */
function single(
  catalog: Catalog,
  key: string,
  title: string,
  of: (one: Collection) => { names: Value[]; code: (row: number) => number },
): Facet {
  const values = new Values();
  const codes = new Uint16Array(catalog.rows);
  for (const one of catalog.collections) {
    const { names, code } = of(one);
    const mapped = [0, ...names.map((name) => values.code(name.id, () => name) + 1)];
    for (let row = 0; row < one.columns.header.items; row += 1) {
      codes[one.first + row] = mapped[code(row)] ?? 0;
    }
  }
  return facet(key, title, values.list, codes);
}

/** Several values a row. */
function several(
  catalog: Catalog,
  key: string,
  title: string,
  of: (one: Collection, values: Values) => { counts: ArrayLike<number>; codes: ArrayLike<number>; mapped: number[][] },
): Facet {
  const values = new Values();
  const start = new Uint32Array(catalog.rows + 1);
  const parts: number[] = [];
  let codes = new Uint16Array(Math.max(1024, catalog.rows * 2));
  let end = 0;
  for (const one of catalog.collections) {
    const { counts, codes: own, mapped } = of(one, values);
    let at = 0;
    for (let row = 0; row < one.columns.header.items; row += 1) {
      parts.length = 0;
      for (let left = counts[row]; left > 0; left -= 1) {
        for (const code of mapped[own[at]] ?? []) if (!parts.includes(code)) parts.push(code);
        at += 1;
      }
      if (end + parts.length > codes.length) {
        const larger = new Uint16Array(2 * codes.length + parts.length);
        larger.set(codes);
        codes = larger;
      }
      for (const code of parts) codes[end++] = code;
      start[one.first + row + 1] = end;
    }
  }
  return facet(key, title, values.list, codes.subarray(0, end), start);
}

/** The facets that the first screen has. */
export function facetsOf(catalog: Catalog): Facet[] {
  const plain = (names: string[]) => names.map((id) => ({ id, title: id }));
  const collection = single(catalog, "collection", "Collection", (one) => ({
    names: [{ id: one.id, title: String(one.json.title ?? one.id) }],
    code: () => 1,
  }));
  const classes = several(catalog, "class", "Class", (one, values) => {
    const { header } = one.columns;
    return {
      counts: one.columns.of("class_counts"),
      codes: one.columns.of("classes"),
      mapped: header.classes.map((name, at) => {
        const row = one.classes.get(name);
        const make = () => ({ title: row?.title ?? name, colour: colourOf(row?.color_hint, at) });
        return [values.code(name, make)];
      }),
    };
  });
  const split = single(catalog, "split", "Split", (one) => {
    const codes = one.columns.of("splits");
    return { names: plain(one.columns.header.splits), code: (row) => codes[row] };
  });
  const country = single(catalog, "country", "Country", (one) => {
    const codes = one.columns.of("countries");
    return { names: plain(one.columns.header.countries), code: (row) => codes[row] };
  });
  const all = [collection, classes, split, country, months(catalog), bands(catalog), sizes(catalog)];
  return all.filter((one) => one.values.length > 0);
}

function months(catalog: Catalog): Facet {
  const found = new Int32Array(catalog.rows).fill(-1);
  const seen = new Set<number>();
  for (const one of catalog.collections) {
    const days = one.columns.of("days");
    const known = new Map<number, number>();
    for (let row = 0; row < days.length; row += 1) {
      const day = days[row] | 0;
      if (day === NONE) continue;
      let month = known.get(day);
      if (month === undefined) {
        const date = new Date(day * 86_400_000);
        month = date.getUTCFullYear() * 12 + date.getUTCMonth();
        known.set(day, month);
        seen.add(month);
      }
      found[one.first + row] = month;
    }
  }
  const order = [...seen].sort((a, b) => a - b);
  const code = new Map(order.map((month, at) => [month, at + 1]));
  const codes = new Uint16Array(catalog.rows);
  for (let row = 0; row < codes.length; row += 1) codes[row] = code.get(found[row]) ?? 0;
  const values = order.map((month) => {
    const id = `${Math.floor(month / 12)}-${String((month % 12) + 1).padStart(2, "0")}`;
    return { id, title: id };
  });
  return facet("month", "Month", values, codes, undefined, true);
}

/** How many bands an image has, or all of them where each band is a file: as the search counts. */
function bands(catalog: Catalog): Facet {
  const found = several(catalog, "bands", "Bands", (one, values) => {
    const { kinds, items } = one.columns.header;
    return {
      counts: new Uint8Array(items).fill(1),
      codes: one.columns.of("kinds"),
      mapped: kinds.map(({ bands: numbers }) =>
        numbers.map((number) =>
          values.code(String(number), () => ({ title: `${number} band${number > 1 ? "s" : ""}` })),
        ),
      ),
    };
  });
  return found;
}

const EDGES = [0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 2 ** 31];

/** The first pixel number of a bin, and that of the next one. */
export function edgesOf(id: string): [number, number] {
  const at = EDGES.indexOf(Number(id));
  return [EDGES[at] ?? 0, EDGES[at + 1] ?? 2 ** 31];
}

function sizes(catalog: Catalog): Facet {
  const bins = EDGES.slice(0, -1).map((edge, at) => ({
    id: String(edge),
    title: at === EDGES.length - 2 ? `${edge} px and more` : `${edge} to ${EDGES[at + 1] - 1} px`,
  }));
  const codes = new Uint16Array(catalog.rows);
  for (const one of catalog.collections) {
    const [widths, heights] = [one.columns.of("widths"), one.columns.of("heights")];
    for (let row = 0; row < widths.length; row += 1) {
      const side = Math.max(widths[row], heights[row]);
      let bin = 0;
      while (side && EDGES[bin] <= side) bin += 1;
      codes[one.first + row] = bin;
    }
  }
  return facet("size", "Longer side", bins, codes, undefined, true);
}

/** The facet of concepts, whose columns come after the first screen. */
export function conceptsOf(catalog: Catalog): Facet {
  const above = (id: string, found: string[] = []): string[] => {
    if (found.includes(id)) return found;
    found.push(id);
    for (const one of catalog.concepts.get(id)?.broader ?? []) above(one, found);
    return found;
  };
  const named = (id: string): Concept | undefined => catalog.concepts.get(id);
  return several(catalog, "concept", "Concept", (one, values) => ({
    counts: one.columns.of("concept_counts"),
    codes: one.columns.of("concepts"),
    mapped: one.columns.header.concepts.map((id) =>
      above(id).map((name) => values.code(name, () => ({ title: named(name)?.title ?? name }))),
    ),
  }));
}

/** The facet of what quality control found. */
export function findingFacet(catalog: Catalog, findings: Findings): Facet {
  return several(catalog, "finding", "Quality", (one, values) => {
    const counts = new Uint16Array(one.columns.header.items);
    const codes: number[] = [];
    for (let row = 0; row < counts.length; row += 1) {
      for (const { check } of findings.get(one.first + row) ?? []) {
        codes.push(values.code(check.name, () => ({ title: check.title })));
        counts[row] += 1;
      }
    }
    return { counts, codes, mapped: values.list.map((_, code) => [code]) };
  });
}

/**
 * The rows that every facet lets through; counts each value's rows as if its own facet chose none.
 *
 * `inside` is 1 for the rows that all other filters let through.
 */
export function filtered(facets: Facet[], rows: number, inside: Uint8Array | undefined): Uint32Array {
  const matching = new Uint32Array(rows);
  let found = 0;
  const choosing = facets.map((one) => one.chosen.includes(1));
  for (const one of facets) one.counts.fill(0);
  for (let row = 0; row < rows; row += 1) {
    if (inside && !inside[row]) continue;
    let failed = -1;
    let failures = 0;
    for (let at = 0; at < facets.length && failures < 2; at += 1) {
      if (choosing[at] && !lets(facets[at], row)) {
        failed = at;
        failures += 1;
      }
    }
    if (failures > 1) continue;
    if (failures === 0) {
      matching[found++] = row;
      for (const one of facets) tally(one, row);
    } else {
      tally(facets[failed], row);
    }
  }
  return matching.subarray(0, found);
}

function lets(one: Facet, row: number): boolean {
  if (!one.start) return one.codes[row] > 0 && one.chosen[one.codes[row] - 1] === 1;
  for (let at = one.start[row]; at < one.start[row + 1]; at += 1) {
    if (one.chosen[one.codes[at]]) return true;
  }
  return false;
}

function tally(one: Facet, row: number): void {
  if (!one.start) {
    if (one.codes[row]) one.counts[one.codes[row] - 1] += 1;
    return;
  }
  for (let at = one.start[row]; at < one.start[row + 1]; at += 1) one.counts[one.codes[at]] += 1;
}

/** The values of a row. */
export function valuesOf(one: Facet | undefined, row: number): Value[] {
  if (!one) return [];
  if (!one.start) return one.codes[row] ? [one.values[one.codes[row] - 1]] : [];
  return [...one.codes.subarray(one.start[row], one.start[row + 1])].map((at) => one.values[at]);
}
