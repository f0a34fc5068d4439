/** What quality control found of samples: `findings.json`, where the header names it. */

import { Catalog, Collection } from "./catalog";
import { json, place } from "./fetching";

const FORMAT = "satimnet-findings-1";

export interface Check {
  name: string;
  title: string;
  severity: string;
}

export interface Finding {
  check: Check;
  message: string;
  /** The samples that it is about, by their rows among those of all collections. */
  rows: number[];
}

/** The findings of each row that has any. */
export type Findings = Map<number, Finding[]>;

/** Fetches the findings of all collections; what cannot be read is told, and left out. */
export async function findingsOf(catalog: Catalog): Promise<Findings> {
  const found: Findings = new Map();
  const owners = new Map(catalog.collections.map((one) => [one.id, one]));
  await Promise.all(
    catalog.collections.map(async ({ first, columns }) => {
      const told = columns.header.findings;
      if (!told) return;
      try {
        const content = await json(place(told.href, columns.url));
        if (content.format !== FORMAT) throw new Error(`${told.href} is of another version; run satimnet explorer --report`);
        const last = first + columns.header.items;
        for (const [number, message, items] of content.findings as [number, string, [string, number][]][]) {
          const { name, title, severity } = content.checks[number];
          const check: Check = { name: String(name), title: String(title), severity: String(severity) };
          const rows = items.map(([id, row]) => rowOf(owners.get(id), row)).filter((row) => row >= 0);
          const one = { check, message: String(message), rows };
          // each collection tells of its own rows, also what is about those of others
          for (const row of new Set(rows)) {
            if (row < first || row >= last) continue;
            const list = found.get(row);
            if (list) list.push(one);
            else found.set(row, [one]);
          }
        }
      } catch (error) {
        catalog.problems.push((error as Error).message);
      }
    }),
  );
  return found;
}

/** The row of a collection among those of all; -1 where it has no such row. */
function rowOf(owner: Collection | undefined, row: number): number {
  if (!owner || !Number.isInteger(row) || row < 0 || row >= owner.columns.header.items) return -1;
  return owner.first + row;
}
