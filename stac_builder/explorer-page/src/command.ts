/** The filter as a command to copy, and the lines of Python that load a sample. */

import { Facet, edgesOf } from "./facets";
import { Box } from "./map";

function quoted(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`;
}

/** `satimnet search` with the options that find the same samples. */
export function commandOf(
  catalog: string,
  facets: Facet[],
  typed: { text: string; classes: string[] },
  box: Box | undefined,
): string {
  const words = ["satimnet search", quoted(catalog)];
  const conditions: string[] = [];
  const options: Record<string, string> = {
    ...{ collection: "--collection", class: "--class", concept: "--concept" },
    ...{ split: "--split", bands: "--band-count" },
  };
  for (const one of facets) {
    const ids = one.values.filter((_, at) => one.chosen[at]).map((value) => value.id);
    if (!ids.length) continue;
    const option = options[one.key];
    if (option) words.push(...ids.map((id) => `${option} ${quoted(id)}`));
    if (one.key === "country") conditions.push(either(ids.map(country)));
    if (one.key === "month") conditions.push(either(ids.map(month)));
    if (one.key === "size") conditions.push(either(ids.map(size)));
  }
  if (typed.text) {
    const pattern = literal(`%${typed.text.replace(/[\\%_]/g, "\\$&")}%`);
    const named = [`CASEI(id) LIKE CASEI(${pattern})`];
    if (typed.classes.length) {
      named.push(`A_OVERLAPS("satimnet:classes", (${typed.classes.map(literal).join(", ")}))`);
    }
    conditions.push(either(named));
  }
  if (box) words.push(`--bbox=${box.join(",")}`);
  if (conditions.length) words.push(`--filter ${quoted(conditions.join(" AND "))}`);
  const found = facets.find((one) => one.key === "finding");
  const checks = found?.values.filter((_, at) => found.chosen[at]).map((value) => value.id) ?? [];
  // a search knows nothing of a report
  if (checks.length) words.push(`# and, in the quality report: ${checks.join(", ")}`);
  return words.join(" ");
}

const literal = (text: string): string => `'${text.replace(/'/g, "''")}'`;
const either = (all: string[]): string => (all.length > 1 ? `(${all.join(" OR ")})` : all[0]);
const country = (id: string): string => `"satimnet:country" = ${literal(id)}`;

function month(id: string): string {
  const [year, number] = id.split("-").map(Number);
  const next = number === 12 ? `${year + 1}-01` : `${year}-${String(number + 1).padStart(2, "0")}`;
  const from = `datetime >= TIMESTAMP('${id}-01T00:00:00Z')`;
  return `(${from} AND datetime < TIMESTAMP('${next}-01T00:00:00Z'))`;
}

function size(id: string): string {
  const [least, beyond] = edgesOf(id);
  const sides = ['"satimnet:rows"', '"satimnet:columns"'];
  const large = `(${sides.map((side) => `${side} >= ${Math.max(1, least)}`).join(" OR ")})`;
  if (beyond >= 2 ** 31) return large;
  return `(${large} AND ${sides.map((side) => `${side} < ${beyond}`).join(" AND ")})`;
}

/** Python that reads an asset of a sample. */
export function pythonOf(catalog: string, collection: string, id: string, asset: string): string {
  const text = (value: string) => JSON.stringify(value);
  return [
    "import rasterio",
    "import satimnet.builder as satimnet",
    "",
    "(item,) = satimnet.search(",
    `    ${text(catalog)},`,
    `    collections=[${text(collection)}],`,
    `    ids=[${text(id)}],`,
    ")",
    `asset = item["assets"][${text(asset)}]`,
    "path = satimnet.gdal_path(asset)",
    "with rasterio.open(path) as image:",
    "    pixels = image.read()",
  ].join("\n");
}
