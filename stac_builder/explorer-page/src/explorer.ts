/** The explorer: a page that shows any catalog of satimnet where it lies. */

import { Catalog, Collection, openCatalog, ownerOf } from "./catalog";
import { NONE } from "./columns";
import { commandOf } from "./command";
import { count, el, isWeb, link } from "./dom";
import { Facet, conceptsOf, facetsOf, filtered, findingFacet, valuesOf } from "./facets";
import { Wanted, place } from "./fetching";
import { Findings, findingsOf } from "./findings";
import { Box, Places, WorldMap, touches } from "./map";
import { mixed } from "./order";
import { Look, SamplePage } from "./sample";
import { Wall } from "./wall";

const SIZES = [32, 48, 64, 96, 128, 192, 256];
const MOST_VALUES = 12; // of a facet that is not opened
const PLACES = ["wests", "souths", "spans_x", "spans_y"];

/** What the address tells, but for the values that are chosen. */
interface State {
  text: string;
  box?: Box;
  size?: number;
  order: "mixed" | "catalog";
  seed: number;
  map: boolean;
  item?: string;
  look: Look;
}

const meta = (name: string): string =>
  document.querySelector<HTMLMetaElement>(`meta[name="satimnet-${name}"]`)?.content ?? "";

class Explorer {
  private state: State = { text: "", order: "mixed", seed: 1, map: false, look: {} };
  private facets: Facet[];
  /** Width by height of each row's tile. */
  private readonly aspects: Float32Array;
  private matching: Uint32Array = new Uint32Array(0);
  private ordered: Uint32Array = new Uint32Array(0);
  private places: Places | undefined;
  private findings: Findings = new Map();
  private ids: { text: string; lower: string; starts: Uint32Array } | undefined;
  private allowed: Uint8Array | undefined;
  private readonly urls = new Map<string, string | undefined>();
  private filterKey = "";
  private shownKey = "";
  private lastItem: string | undefined;
  private opened = new Set<string>();
  private readonly wall: Wall;
  private readonly map: WorldMap;
  private readonly sample: SamplePage;
  private readonly found = el("output", { class: "found", "aria-live": "polite" });
  private readonly head = el("header", { class: "head" });
  private readonly filters = el("div", { class: "facets" });
  private readonly command = el("code", {});
  private readonly hover = el("div", { class: "hover" });
  private readonly problem = el("p", { class: "problem", role: "status" });
  private readonly nothing = el(
    "div",
    { class: "nothing" },
    el("p", {}, "No sample is all of this."),
    el("button", { type: "button", onclick: () => this.reset() }, "Clear the filters"),
  );
  private readonly text = el("input", {
    ...{ type: "search", placeholder: "Search ( / )", "aria-label": "Search names and classes" },
  });
  private readonly size = el("input", { type: "range", min: 0, max: SIZES.length - 1, step: 1, "aria-label": "Size of tiles" });
  private readonly order = el(
    "select",
    { "aria-label": "Order" },
    el("option", { value: "mixed" }, "mixed"),
    el("option", { value: "catalog" }, "as in the catalog"),
  );
  private readonly panel = el("aside", { class: "panel", "aria-label": "Filters" });
  private readonly filterButton = el("button", { type: "button", class: "filter-button", "aria-expanded": "false" }, "Filters");
  private readonly mapButton = el("button", { type: "button", "aria-pressed": "false" }, "Map");

  constructor(private readonly catalog: Catalog) {
    this.facets = facetsOf(catalog);
    this.aspects = aspectsOf(catalog);
    this.wall = new Wall(
      {
        aspect: (row) => this.aspects[row],
        colour: (row) => valuesOf(this.facet("class"), row)[0]?.colour ?? "#888888",
        label: (row) => this.label(row),
        href: (row) => this.address({ ...this.state, item: this.name(row), look: {} }),
        picture: (row) => this.picture(row),
        onHover: (row) => this.pointAt(row),
        onOpen: (row) => this.go({ item: this.name(row), look: {} }, true),
      },
      (error) => (this.problem.textContent = error.message),
    );
    this.map = new WorldMap(
      (box) => this.go({ box }),
      (row) => this.pointAt(row, true),
    );
    this.sample = new SamplePage(catalog, {
      id: (row) => this.id(row),
      findings: (row) => this.findings.get(row) ?? [],
      picture: (row) => this.picture(row),
      href: (row) => this.address({ ...this.state, item: this.name(row), look: {} }),
      browser: meta("browser"),
      close: () => this.go({ item: undefined, look: {} }),
      step: (by) => this.step(by),
      place: () => {
        const at = this.ordered.indexOf(this.rowOf(this.state.item));
        return at < 0 ? "" : `${count(at + 1)} of ${count(this.ordered.length)}`;
      },
      change: (look) => this.go({ look }),
      say: (text) => (this.problem.textContent = text),
    });
    this.write();
    this.listen();
  }

  async start(): Promise<void> {
    await this.read();
    const { collections } = this.catalog;
    await this.wall.settled();
    // the rest: concepts, names and places
    await Promise.all(collections.map((one) => one.columns.fetch(["concept_counts", "concepts", "nodes", ...PLACES])));
    const concepts = conceptsOf(this.catalog);
    if (concepts.values.length) this.facets.splice(2, 0, concepts);
    const before = this.catalog.problems.length;
    this.findings = await findingsOf(this.catalog);
    const found = findingFacet(this.catalog, this.findings);
    if (found.values.length) this.facets.push(found);
    const problems = this.catalog.problems.slice(before);
    if (problems.length) this.problem.textContent = problems.join("; ");
    this.places = placesOf(collections, this.catalog.rows);
    await this.readIds();
    this.filterKey = "";
    await this.read();
    this.sample.tellFindings();
    document.documentElement.dataset.ready = "all";
  }

  // --- rows --------------------------------------------------------------------------------------

  private facet(key: string): Facet | undefined {
    return this.facets.find((one) => one.key === key);
  }

  private picture(row: number): Omit<Wanted, "key"> | undefined {
    const { columns, first } = ownerOf(this.catalog, row);
    const own = row - first;
    for (const [kind, hrefs] of [
      ["preview", columns.header.previews?.files ?? []],
      ["picture", columns.header.shards],
    ] as const) {
      const size = columns.at(`${kind}_sizes`, own);
      const href = hrefs[columns.of(`${kind}_files`)[own]];
      if (!size || href === undefined) continue;
      const url = this.placeOf(href, columns.url);
      if (url) return { url, first: columns.at(`${kind}_firsts`, own), size };
    }
    return undefined;
  }

  /** The place of a file of pictures, looked up once; undefined if it must not be asked for. */
  private placeOf(href: string, base: string): string | undefined {
    const key = `${base} ${href}`;
    if (!this.urls.has(key)) {
      let url: string | undefined;
      try {
        url = place(href, base);
      } catch (error) {
        this.problem.textContent = (error as Error).message;
      }
      this.urls.set(key, url);
    }
    return this.urls.get(key);
  }

  private async readIds(): Promise<void> {
    if (this.ids) return;
    const texts = await Promise.all(this.catalog.collections.map((one) => one.columns.ids()));
    const text = texts.map((one) => one.slice(0, -1)).join("") + "\n";
    const starts = new Uint32Array(this.catalog.rows + 1);
    let at = 0;
    for (let row = 0; row < this.catalog.rows; row += 1) {
      starts[row] = at + 1;
      at = text.indexOf("\n", at + 1);
    }
    starts[this.catalog.rows] = text.length;
    this.ids = { text, lower: text.toLowerCase(), starts };
  }

  private id(row: number): string {
    if (!this.ids) return "";
    return this.ids.text.slice(this.ids.starts[row], this.ids.starts[row + 1] - 1);
  }

  private name(row: number): string {
    const owner = ownerOf(this.catalog, row);
    return `${owner.id}/${this.ids ? this.id(row) : `@${row - owner.first}`}`;
  }

  private rowOf(name: string | undefined): number {
    if (!name) return -1;
    const [collection, ...rest] = name.split("/");
    const owner = this.catalog.collections.find((one) => one.id === collection);
    const id = rest.join("/");
    if (!owner) return -1;
    if (/^@\d+$/.test(id) && Number(id.slice(1)) < owner.columns.header.items) {
      return owner.first + Number(id.slice(1));
    }
    if (!this.ids) return -1;
    let at = this.ids.text.indexOf(`\n${id}\n`);
    while (at >= 0) {
      const row = rowAt(this.ids.starts, at + 1);
      if (ownerOf(this.catalog, row) === owner) return row;
      at = this.ids.text.indexOf(`\n${id}\n`, at + 1);
    }
    return -1;
  }

  private label(row: number): string {
    const words = [this.id(row), ...valuesOf(this.facet("class"), row).map((one) => one.title)];
    words.push(...valuesOf(this.facet("split"), row).map((one) => one.title));
    return words.filter(Boolean).join(", ");
  }

  private pointAt(row: number | undefined, fromMap = false): void {
    this.map.mark(row);
    if (fromMap) this.wall.mark(row);
    this.hover.textContent = row === undefined ? "" : this.label(row);
    if (row !== undefined && this.catalog.collections.length > 1) {
      this.hover.textContent += ` · ${ownerOf(this.catalog, row).json.title ?? ""}`;
    }
  }

  private step(by: number): void {
    const at = this.ordered.indexOf(this.rowOf(this.state.item));
    const next = this.ordered[at + by];
    if (at < 0 || next === undefined) return;
    this.wall.focus = at + by;
    this.go({ item: this.name(next), look: { stretch: this.state.look.stretch, mask: this.state.look.mask } });
  }

  // --- the address -------------------------------------------------------------------------------

  private address(state: State): string {
    const words = new URLSearchParams();
    for (const one of this.facets) {
      one.values.forEach((value, at) => one.chosen[at] && words.append(one.key, value.id));
    }
    if (state.text) words.set("q", state.text);
    if (state.box) words.set("box", state.box.join(","));
    if (state.size) words.set("tile", String(state.size));
    if (state.order !== "mixed") words.set("order", state.order);
    if (state.seed !== 1) words.set("seed", String(state.seed));
    if (state.map) words.set("map", "1");
    if (state.item) words.set("item", state.item);
    const { show, stretch, mask, outlines, zoom } = state.look;
    if (show) words.set("show", show);
    if (stretch) words.set("stretch", stretch);
    if (mask !== undefined) words.set("mask", String(mask));
    if (outlines === false) words.set("outlines", "0");
    if (zoom) words.set("zoom", String(zoom));
    return `#${words}`;
  }

  /** Goes to another state, by its address. */
  private go(part: Partial<State>, remember = false): void {
    this.state = { ...this.state, ...part };
    const address = this.address(this.state);
    const other = ("item" in part && part.item !== undefined) || remember;
    if (other) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    void this.read();
  }

  /** Shows what the address says. */
  private async read(): Promise<void> {
    const words = new URLSearchParams(location.hash.slice(1));
    const number = (name: string) => (words.has(name) ? Number(words.get(name)) : undefined);
    const box = words.get("box")?.split(",").map(Number);
    this.state = {
      text: words.get("q") ?? "",
      box: box?.length === 4 && box.every(Number.isFinite) ? (box as Box) : undefined,
      size: SIZES.includes(number("tile") ?? 0) ? number("tile") : undefined,
      order: words.get("order") === "catalog" ? "catalog" : "mixed",
      seed: number("seed") ?? 1,
      map: words.get("map") === "1",
      item: words.get("item") ?? undefined,
      look: {
        show: words.get("show") ?? undefined,
        stretch: words.get("stretch") ?? undefined,
        mask: number("mask"),
        outlines: words.get("outlines") === "0" ? false : undefined,
        zoom: number("zoom"),
      },
    };
    for (const one of this.facets) {
      const wanted = new Set(words.getAll(one.key));
      one.values.forEach((value, at) => (one.chosen[at] = Number(wanted.has(value.id))));
    }
    this.show();
    const row = this.rowOf(this.state.item);
    if (row >= 0) {
      this.lastItem = this.state.item;
      await this.sample.open(row, this.state.look);
    } else if (this.sample.root.open) {
      this.sample.close();
      const at = this.ordered.indexOf(this.rowOf(this.lastItem));
      if (at >= 0) this.wall.focusOn(at);
    }
  }

  // --- what is shown -----------------------------------------------------------------------------

  private show(): void {
    const { state } = this;
    const key = JSON.stringify([this.facets.map((one) => [...one.chosen]), state.text, state.box, Boolean(this.ids)]);
    if (key !== this.filterKey) {
      this.filterKey = key;
      this.allowed = this.inside();
      this.matching = filtered(this.facets, this.catalog.rows, this.allowed);
      this.shownKey = "";
      this.writeFacets();
      this.writeHead();
    }
    const shown = JSON.stringify([key, state.order, state.seed]);
    if (shown !== this.shownKey) {
      this.shownKey = shown;
      this.ordered = state.order === "mixed" ? mixed(this.matching, state.seed) : this.matching;
    }
    this.nothing.hidden = this.matching.length > 0;
    this.wall.root.hidden = !this.nothing.hidden;
    const size = state.size ?? this.standardSize();
    this.size.value = String(SIZES.indexOf(size));
    this.order.value = state.order;
    if (this.text.value !== state.text && document.activeElement !== this.text) this.text.value = state.text;
    this.wall.show(this.ordered, size);
    this.map.root.hidden = !state.map;
    this.mapButton.setAttribute("aria-pressed", String(state.map));
    if (state.map && this.places) this.map.show(this.matching, this.places, state.box);
    const all = this.catalog.rows;
    const some = this.matching.length;
    this.found.textContent = some === all ? `${count(all)} samples` : `${count(some)} of ${count(all)} samples`;
    const number = this.facets.reduce((sum, one) => sum + one.chosen.filter(Boolean).length, 0) + Number(Boolean(state.text)) + Number(Boolean(state.box));
    this.filterButton.textContent = number ? `Filters (${number})` : "Filters";
    this.command.textContent = commandOf(this.catalog.url, this.facets, this.textWords(), state.box);
    document.documentElement.dataset.ready ??= "first";
  }

  /** Few samples are shown large. */
  private standardSize(): number {
    const area = this.wall.root.clientWidth * this.wall.root.clientHeight;
    const room = Math.sqrt(area / Math.max(1, this.ordered.length));
    if (this.wall.root.clientWidth < 600) return room > 125 ? 128 : room > 95 ? 96 : 64;
    return room > 260 ? 256 : room > 170 ? 192 : room > 120 ? 128 : 96;
  }

  private textWords(): { text: string; classes: string[] } {
    const { text } = this.state;
    const small = text.toLowerCase();
    const classes = this.facet("class")?.values ?? [];
    const found = classes.filter((one) => `${one.title}\n${one.id}`.toLowerCase().includes(small));
    return { text, classes: text ? found.map((one) => one.id) : [] };
  }

  /** The rows that words and box let through; undefined if that is all. */
  private inside(): Uint8Array | undefined {
    const { text, box } = this.state;
    if (!text && !box) return undefined;
    const { rows } = this.catalog;
    const found = new Uint8Array(rows).fill(text ? 0 : 1);
    if (text) {
      const { classes } = this.textWords();
      const one = this.facet("class");
      if (one?.start) {
        const wanted = new Uint8Array(one.values.length);
        one.values.forEach((value, at) => (wanted[at] = Number(classes.includes(value.id))));
        for (let row = 0; row < rows; row += 1) {
          for (let at = one.start[row]; at < one.start[row + 1]; at += 1) if (wanted[one.codes[at]]) found[row] = 1;
        }
      }
      if (this.ids) {
        const small = text.toLowerCase().replace(/\n/g, " ");
        let at = this.ids.lower.indexOf(small);
        while (at >= 0) {
          const row = rowAt(this.ids.starts, at);
          if (row >= 0) found[row] = 1;
          at = this.ids.lower.indexOf(small, this.ids.starts[row + 1] - 1);
        }
      }
    }
    if (box && this.places) {
      for (let row = 0; row < rows; row += 1) if (found[row] && !touches(this.places, row, box)) found[row] = 0;
    }
    return found;
  }

  // --- elements ----------------------------------------------------------------------------------

  private write(): void {
    const copy = el("button", { type: "button", onclick: () => this.copy() }, "Copy");
    this.panel.append(
      el(
        "div",
        { class: "panel-head" },
        this.text,
        el("button", { type: "button", onclick: () => this.reset() }, "Clear"),
        el("button", { type: "button", class: "panel-close", onclick: () => this.togglePanel(false) }, "Show"),
      ),
      this.filters,
      el("details", { class: "command" }, el("summary", {}, "As a command"), el("pre", { tabindex: "0" }, this.command), copy),
    );
    const shuffle = el("button", { type: "button", onclick: () => this.go({ seed: this.state.seed + 1, order: "mixed" }) }, "Shuffle");
    const theme = el("button", { type: "button", class: "theme", "aria-label": "Light or dark", onclick: () => toggleTheme() }, "◐");
    const tools = el(
      "div",
      { class: "tools" },
      this.filterButton,
      this.found,
      this.hover,
      el("label", {}, "Size ", this.size),
      el("label", {}, "Order ", this.order),
      shuffle,
      this.mapButton,
      theme,
    );
    const main = el("main", {}, tools, this.problem, this.map.root, this.nothing, this.wall.root);
    document.body.replaceChildren(this.head, el("div", { class: "body" }, this.panel, main), this.sample.root);
    this.problem.textContent = this.catalog.problems.join("; ");
    this.map.root.hidden = true;
  }

  private listen(): void {
    window.addEventListener("popstate", () => void this.read());
    window.addEventListener("hashchange", () => void this.read());
    this.size.addEventListener("input", () => this.go({ size: SIZES[Number(this.size.value)] }));
    this.order.addEventListener("change", () => this.go({ order: this.order.value as State["order"] }));
    this.mapButton.addEventListener("click", () => this.go({ map: !this.state.map }));
    this.filterButton.addEventListener("click", () => this.togglePanel(!this.panel.classList.contains("open")));
    let waiting = 0;
    this.text.addEventListener("input", () => {
      window.clearTimeout(waiting);
      waiting = window.setTimeout(() => this.go({ text: this.text.value.trim() }), 120);
    });
    document.addEventListener("keydown", (event) => {
      const typing = ["INPUT", "SELECT", "TEXTAREA"].includes((event.target as HTMLElement).tagName);
      if (event.key === "/" && !typing && !this.sample.root.open) {
        event.preventDefault();
        if (getComputedStyle(this.filterButton).display !== "none") this.togglePanel(true);
        this.text.focus();
      } else if (event.key === "Escape" && this.panel.classList.contains("open")) {
        this.togglePanel(false);
      } else if (event.key === "Escape" && event.target === this.text) {
        this.wall.focusOn(this.wall.focus);
      }
    });
  }

  private togglePanel(open: boolean): void {
    this.panel.classList.toggle("open", open);
    this.filterButton.setAttribute("aria-expanded", String(open));
    if (open) this.text.focus();
    else this.filterButton.focus();
  }

  private reset(): void {
    for (const one of this.facets) one.chosen.fill(0);
    this.text.value = "";
    this.go({ text: "", box: undefined });
  }

  private copy(): void {
    void navigator.clipboard?.writeText(this.command.textContent ?? "").then(() => (this.problem.textContent = "Copied"));
  }

  private writeHead(): void {
    const chosen = this.catalog.collections.filter((_, at) => this.facet("collection")?.chosen[at]);
    const shown = chosen.length ? chosen : this.catalog.collections;
    const one = shown.length === 1 ? shown[0] : undefined;
    const title = String(one ? (one.json.title ?? one.id) : (this.catalog.json.title ?? "Catalog"));
    document.title = `${title} · Explorer`;
    const synthetic = shown.filter((each) => each.json["satimnet:synthetic"] === true).length;
    const badge = synthetic
      ? el("span", { class: "badge", title: "Made-up pixels, to try things with" }, synthetic === shown.length ? "synthetic" : "partly synthetic")
      : undefined;
    const parts: (Node | undefined)[] = [el("h1", {}, title), badge];
    if (one) parts.push(about(one));
    this.head.replaceChildren(...parts.filter((each) => each !== undefined));
  }

  private writeFacets(): void {
    const held = document.activeElement?.getAttribute("data-value");
    const parts = this.facets.map((one) => this.writeFacet(one));
    this.filters.replaceChildren(...parts.filter((each) => each !== undefined));
    if (held) this.filters.querySelector<HTMLElement>(`[data-value="${CSS.escape(held)}"]`)?.focus();
  }

  private writeFacet(one: Facet): Node | undefined {
    const used = one.values.map((_, at) => at).filter((at) => one.counts[at] || one.chosen[at]);
    if (!used.length || (used.length === 1 && one.values.length === 1 && one.key === "collection" && !one.chosen[0])) return undefined;
    if (!one.bars) used.sort((a, b) => one.chosen[b] - one.chosen[a] || one.counts[b] - one.counts[a]);
    const open = this.opened.has(one.key);
    const most = Math.max(1, ...used.map((at) => one.counts[at]));
    const listed = open ? used : used.slice(0, one.bars ? 24 : MOST_VALUES);
    const rows = listed.map((at) => this.writeValue(one, at, most));
    const more =
      used.length > listed.length || open
        ? el(
            "button",
            { type: "button", class: "more", "data-value": `${one.key}:more`, onclick: () => this.toggle(one.key) },
            open ? "Fewer" : `${used.length - listed.length} more`,
          )
        : undefined;
    return el("fieldset", {}, el("legend", {}, one.title), el("ul", {}, ...rows), more);
  }

  private toggle(key: string): void {
    if (!this.opened.delete(key)) this.opened.add(key);
    this.writeFacets();
  }

  private writeValue(one: Facet, at: number, most: number): HTMLElement {
    const value = one.values[at];
    const box = el("input", {
      ...{ type: "checkbox", checked: Boolean(one.chosen[at]), "data-value": `${one.key}:${value.id}` },
      onchange: () => {
        one.chosen[at] = box.checked ? 1 : 0;
        this.go({});
      },
    });
    const bar = el("span", { class: "bar" });
    bar.style.width = `${(100 * one.counts[at]) / most}%`;
    if (value.colour) bar.style.background = value.colour;
    const dot = value.colour ? el("span", { class: "dot" }) : undefined;
    if (dot) dot.style.background = value.colour!;
    return el(
      "li",
      {},
      el("label", {}, box, dot, el("span", { class: "name", title: value.title }, value.title), el("span", { class: "number" }, count(one.counts[at])), bar),
    );
  }
}

/** How wide tiles are, of images that may be as long as they like. */
function aspectsOf(catalog: Catalog): Float32Array {
  const found = new Float32Array(catalog.rows).fill(1);
  for (const one of catalog.collections) {
    const [widths, heights] = [one.columns.of("widths"), one.columns.of("heights")];
    for (let row = 0; row < widths.length; row += 1) {
      if (!widths[row] || !heights[row]) continue;
      found[one.first + row] = Math.max(0.5, Math.min(2.2, widths[row] / heights[row]));
    }
  }
  return found;
}

/** Licence, citation and links of a collection. */
function about(one: Collection): Node {
  const licence = String(one.json.license ?? "");
  const page = one.json.links?.find((each: any) => each.rel === "license")?.href;
  const citation = one.json["sci:citation"];
  const doi = one.json["sci:doi"];
  const parts: (Node | undefined)[] = [
    el("span", {}, `${count(one.columns.header.items)} samples`),
    el("span", {}, "Licence: ", isWeb(page) ? link(page, licence) : licence),
    typeof doi === "string" ? link(`https://doi.org/${encodeURI(doi)}`, `doi:${doi}`) : undefined,
    link(one.url, "Collection (JSON)"),
    typeof citation === "string"
      ? el("details", { class: "citation" }, el("summary", {}, "Citation"), el("p", {}, citation))
      : undefined,
  ];
  return el("div", { class: "about" }, ...parts.filter((each) => each !== undefined));
}

function placesOf(collections: Collection[], rows: number): Places {
  const places = new Float32Array(4 * rows);
  for (const one of collections) {
    const columns = PLACES.map((name) => one.columns.of(name));
    for (let row = 0; row < one.columns.header.items; row += 1) {
      const at = 4 * (one.first + row);
      const none = (columns[0][row] | 0) === NONE;
      for (let side = 0; side < 4; side += 1) places[at + side] = none ? NaN : (columns[side][row] | 0) / 1e6;
    }
  }
  return places;
}

/** The row whose id a place in the text of all ids is in. */
function rowAt(starts: Uint32Array, place: number): number {
  let [low, high] = [0, starts.length - 2];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= place) low = middle;
    else high = middle - 1;
  }
  return low;
}

function toggleTheme(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const root = document.documentElement;
  const now = root.dataset.theme ?? (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  window.dispatchEvent(new Event("resize"));
}

async function main(): Promise<void> {
  const named = new URLSearchParams(location.search).get("catalog");
  const href = named ?? (meta("catalog") || "./catalog.json");
  const status = el("p", { class: "opening", role: "status" }, "Opening the catalog …");
  document.body.replaceChildren(el("main", {}, status));
  try {
    const catalog = await openCatalog(href);
    if (!catalog.collections.length) throw new Error(catalog.problems[0] ?? `${href} has no collections`);
    await new Explorer(catalog).start();
  } catch (error) {
    document.body.replaceChildren(
      el(
        "main",
        { class: "opening" },
        el("h1", {}, "This catalog cannot be shown"),
        el("p", { role: "alert" }, (error as Error).message),
        el("p", {}, "A catalog that was built before needs to be indexed once: satimnet explorer --index CATALOG"),
      ),
    );
    document.documentElement.dataset.ready = "failed";
  }
}

void main();
