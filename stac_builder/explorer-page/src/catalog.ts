/** A catalog: its collections with their columns, and the concepts that tie their classes. */

import { Columns } from "./columns";
import { allowHost, json, place } from "./fetching";

export interface ClassRow {
  name: string;
  value?: number;
  title?: string;
  color_hint?: string;
}

export interface Collection {
  id: string;
  url: string;
  json: any;
  columns: Columns;
  /** Number of its first row among those of all collections. */
  first: number;
  classes: Map<string, ClassRow>;
}

export interface Concept {
  id: string;
  title: string;
  broader: string[];
}

export interface Catalog {
  url: string;
  json: any;
  collections: Collection[];
  concepts: Map<string, Concept>;
  rows: number;
  /** What could not be opened, and why. */
  problems: string[];
}

/** Opens the catalog at a URL. */
export async function openCatalog(href: string): Promise<Catalog> {
  const base = new URL(href, location.href).href;
  const url = base.endsWith(".json") ? base : `${base.replace(/\/*$/, "")}/catalog.json`;
  allowHost(url);
  const found = await json(url);
  const links: any[] = Array.isArray(found.links) ? found.links : [];
  const children = links.filter((one) => one.rel === "child" && typeof one.href === "string");
  const problems: string[] = [];
  const glossary = links.find((one) => one.rel === "glossary");
  const [concepts, ...opened] = await Promise.all([
    glossary ? conceptsAt(place(glossary.href, url)) : new Map<string, Concept>(),
    ...children.map(async (child) => {
      try {
        return await openCollection(place(child.href, url));
      } catch (error) {
        problems.push((error as Error).message);
        return undefined;
      }
    }),
  ]);
  const collections = opened.filter((one) => one !== undefined);
  let rows = 0;
  for (const one of collections) {
    one.first = rows;
    rows += one.columns.header.items;
  }
  return { url, json: found, collections, concepts, rows, problems };
}

async function openCollection(url: string): Promise<Collection> {
  const found = await json(url);
  const assets: any = found.assets ?? {};
  const named = assets.explorer?.href;
  const mirror: any = Object.values(assets).find((one: any) =>
    one?.roles?.includes("collection-mirror"),
  );
  const beside = place(mirror?.href ?? "./items.parquet", url);
  const at = typeof named === "string" ? place(named, url) : place("./explorer.json", beside);
  const columns = await Columns.open(at).catch((error: Error) => {
    throw new Error(`${found.id}: ${error.message}`);
  });
  const table: any[] = found.summaries?.["classification:classes"] ?? [];
  const classes = new Map(table.map((row) => [String(row.name), row as ClassRow]));
  return { id: String(found.id), url, json: found, columns, first: 0, classes };
}

async function conceptsAt(url: string): Promise<Map<string, Concept>> {
  const found = await json(url).catch(() => ({}));
  const name = (id: unknown) => String(id).replace(/^.*#/, "");
  const listed = (value: unknown): string[] =>
    (Array.isArray(value) ? value : value === undefined ? [] : [value]).map(name);
  const concepts = new Map<string, Concept>();
  const graph: any[] = found["@graph"] ?? [];
  // classes of collections are concepts of schemes of their own, which come after
  const scheme = graph.find((one) => one.type === "ConceptScheme")?.id;
  for (const one of graph) {
    if (one.type !== "Concept" || one.inScheme !== scheme) continue;
    const id = name(one.id);
    concepts.set(id, { id, title: String(one.prefLabel ?? id), broader: listed(one.broader) });
  }
  return concepts;
}

/** The collection that a row is of. */
export function ownerOf(catalog: Catalog, row: number): Collection {
  let found = catalog.collections[0];
  for (const one of catalog.collections) if (one.first <= row) found = one;
  return found;
}
