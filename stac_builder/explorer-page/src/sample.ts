/** A sample's page: its image large, with mask, outlines, bands to choose, and all that is known. */

import { Catalog, Collection, ownerOf } from "./catalog";
import { pythonOf } from "./command";
import { colourOf, count, el, isWeb, link } from "./dom";
import { Wanted, json, part, place } from "./fetching";
import { Finding } from "./findings";
import { Limits, limitsOf, picture, resized } from "./stretch";
import { Band, Raster, readRun, readTiff } from "./tiff";

/** What of a sample is shown, and how: what its address tells. */
export interface Look {
  show?: string;
  stretch?: string;
  mask?: number;
  outlines?: boolean;
  zoom?: number;
}

export interface Hooks {
  id(row: number): string;
  findings(row: number): Finding[];
  picture(row: number): Omit<Wanted, "key"> | undefined;
  href(row: number): string;
  browser: string;
  close(): void;
  step(by: number): void;
  place(): string;
  change(look: Look): void;
  say(text: string): void;
}

interface Asset {
  key: string;
  json: any;
  url: string;
  member: any;
  first: number;
  size: number;
}

interface BandChoice {
  asset: Asset;
  number: number;
  name: string;
}

const SHOWN = ["image/jpeg", "image/png", "image/webp", "image/gif"];
const EDGE = 24; // pixels around a picture, of both sides together
const MOST_SIDE = 2048;
const MOST_FINDINGS = 20;
const MOST_BESIDE = 5; // other samples of a finding
const MOST_MEMBER = 2 ** 28;
const STRETCHES: Record<string, string> = {
  collection: "as the whole collection",
  image: "2 to 98 % of this image",
  full: "least to greatest value",
  plain: "0 to 255, as they are",
};

export class SamplePage {
  readonly root = el("dialog", { class: "sample", "aria-label": "Sample" });
  private opened = 0;
  private row = -1;
  private look: Look = {};
  private item: any;
  private owner!: Collection;
  private assets: Asset[] = [];
  private rasters = new Map<string, Promise<Raster>>();
  private readonly stage = el("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "Image" });
  private readonly image = el("canvas", { class: "image", role: "img" });
  private readonly mask = el("canvas", { class: "mask", "aria-hidden": "true" });
  private outlines: SVGSVGElement | undefined;
  private readonly sheet = el("div", { class: "sheet" }, this.image, this.mask);
  private readonly controls = el("div", { class: "controls" });
  private readonly facts = el("div", { class: "facts" });
  private readonly findings = el("div", { class: "findings" });
  private readonly heading = el("h2", {});
  private readonly at = el("span", { class: "note" });
  private readonly status = el("p", { class: "status", role: "status" });

  constructor(
    private readonly catalog: Catalog,
    private readonly hooks: Hooks,
  ) {
    this.stage.append(this.sheet);
    const step = (by: number) => () => this.hooks.step(by);
    this.root.append(
      el(
        "header",
        {},
        el("button", { type: "button", onclick: step(-1), "aria-label": "Previous sample" }, "‹"),
        el("button", { type: "button", onclick: step(1), "aria-label": "Next sample" }, "›"),
        this.heading,
        this.at,
        el("button", { type: "button", class: "close", onclick: () => this.hooks.close(), "aria-label": "Close" }, "×"),
      ),
      el("div", { class: "sample-body" }, el("div", { class: "left" }, this.stage, this.status, this.controls), this.facts),
    );
    this.root.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.hooks.close();
    });
    this.root.addEventListener("keydown", (event) => {
      const typing = ["INPUT", "SELECT", "TEXTAREA"].includes((event.target as HTMLElement).tagName);
      if (typing || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        event.preventDefault();
        this.hooks.step(event.key === "ArrowLeft" ? -1 : 1);
      }
    });
    new ResizeObserver(() => this.scale()).observe(this.stage);
  }

  /** Shows a row, or another look at it. */
  async open(row: number, look: Look): Promise<void> {
    const turn = (this.opened += 1);
    const same = row === this.row && this.item;
    this.look = look;
    if (!this.root.open) this.root.showModal();
    this.at.textContent = this.hooks.place();
    if (same) {
      await this.guarded(turn, () => this.draw(turn));
      return;
    }
    this.row = row;
    this.item = undefined;
    this.owner = ownerOf(this.catalog, row);
    const id = this.hooks.id(row);
    this.heading.textContent = id;
    this.root.setAttribute("aria-label", `Sample ${id}`);
    this.root.dataset.ready = "";
    this.facts.replaceChildren();
    this.controls.replaceChildren();
    this.image.width = this.image.height = this.mask.width = this.mask.height = 1;
    this.outlines?.remove();
    this.rasters.clear();
    this.say("Loading …");
    await this.guarded(turn, async () => {
      const found = await itemOf(this.owner, row, id);
      if (turn !== this.opened) return;
      this.item = found.json;
      this.assets = assetsOf(found.json, found.url);
      this.writeFacts(id, found.url);
      await this.draw(turn);
    });
  }

  close(): void {
    this.opened += 1;
    this.row = -1;
    this.item = undefined;
    if (this.root.open) this.root.close();
  }

  private async guarded(turn: number, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (turn === this.opened) this.say((error as Error).message);
    }
    if (turn === this.opened) this.root.dataset.ready = "yes";
  }

  private say(text: string): void {
    this.status.textContent = text;
  }

  // --- what is drawn ---------------------------------------------------------------------------

  private async draw(turn: number): Promise<void> {
    this.root.dataset.ready = "";
    const choices = this.bandChoices();
    const pictures = this.assets.filter((one) => SHOWN.includes(one.member?.type) && isImage(one.json));
    const standard = this.standardBands(choices);
    const first = pictures[0]?.key ?? (standard.length ? `bands:${standard.map(nameOf).join(",")}` : "");
    const show = this.look.show ?? first;
    let size: [number, number] | undefined;
    this.say("");
    if (show.startsWith("bands:")) {
      const chosen = show.slice(6).split(",").map((name) => choices.find((one) => nameOf(one) === name));
      const bands = chosen.filter((one) => one !== undefined);
      if (!bands.length) throw new Error(`${this.hooks.id(this.row)} has no such bands`);
      this.writeControls(pictures, choices, bands, undefined);
      size = await this.drawBands(turn, bands, standard);
    } else if (show) {
      const asset = pictures.find((one) => one.key === show);
      if (!asset) throw new Error(`${this.hooks.id(this.row)} has no such image`);
      this.writeControls(pictures, choices, standard, asset);
      const drawn = await bitmap(await bytesOf(asset));
      if (turn !== this.opened) return;
      size = [drawn.width, drawn.height];
      [this.image.width, this.image.height] = size;
      this.image.getContext("2d")!.drawImage(drawn, 0, 0);
      drawn.close();
    } else {
      this.say("This sample has no image that can be shown.");
    }
    if (turn !== this.opened) return;
    this.image.setAttribute("aria-label", `Image of ${this.hooks.id(this.row)}`);
    this.scale();
    await Promise.all([this.drawMask(turn), this.drawOutlines(turn, size)]);
  }

  private bandChoices(): BandChoice[] {
    return this.assets
      .filter((one) => isImage(one.json) && one.member && !SHOWN.includes(one.member.type))
      .flatMap((asset) =>
        (asset.json.bands as any[]).map((band, at) => ({
          ...{ asset, number: at },
          name: String(band?.name ?? at + 1),
        })),
      );
  }

  /** Red, green and blue, else the first band. */
  private standardBands(choices: BandChoice[]): BandChoice[] {
    const common = (one: BandChoice): string => {
      const specs: any[] = this.owner.json.item_assets?.[one.asset.key]?.bands ?? [];
      const spec = specs.find((band) => band.name === one.name) ?? specs[one.number];
      return spec?.["eo:common_name"] ?? one.name.toLowerCase();
    };
    const visual = choices.filter((one) => one.asset.json.roles?.includes("visual"));
    for (const from of [visual, choices]) {
      const found = ["red", "green", "blue"].map((name) => from.find((one) => common(one) === name));
      if (found.every((one) => one !== undefined)) return found as BandChoice[];
    }
    return choices.slice(0, 1);
  }

  private raster(asset: Asset): Promise<Raster> {
    let found = this.rasters.get(asset.key);
    if (!found) {
      found = rasterOf(asset);
      this.rasters.set(asset.key, found);
    }
    return found;
  }

  private async drawBands(turn: number, chosen: BandChoice[], standard: BandChoice[]): Promise<[number, number]> {
    const rasters = await Promise.all(chosen.map((one) => this.raster(one.asset)));
    const width = Math.max(...rasters.map((one) => one.width));
    const height = Math.max(...rasters.map((one) => one.height));
    const bands = chosen.map((one, at) =>
      resized(rasters[at].bands[one.number] ?? rasters[at].bands[0], [rasters[at].width, rasters[at].height], [width, height]),
    );
    const limits = this.limits(bands, chosen.map(nameOf).join() === standard.map(nameOf).join());
    const drawn = picture(bands, limits, width, height);
    if (turn !== this.opened) return [width, height];
    [this.image.width, this.image.height] = [width, height];
    this.image.getContext("2d")!.putImageData(drawn, 0, 0);
    const range = (one: Limits) => `${round(one.black)} to ${round(one.white)}`;
    this.say(limits.map((one, at) => `${chosen[at].name}: ${range(one)}`).join(" · "));
    return [width, height];
  }

  private limits(bands: Band[], standard: boolean): Limits[] {
    const shared = this.owner.columns.header.previews?.stretch;
    const eight = bands.every((band) => band instanceof Uint8Array);
    const common = standard && shared?.black.length === bands.length ? shared : undefined;
    const otherwise = eight ? "plain" : common ? "collection" : "image";
    const stretch = this.look.stretch ?? otherwise;
    const select = this.controls.querySelector<HTMLSelectElement>("select[name=stretch]");
    if (select) {
      for (const option of select.options) option.disabled = option.value === "collection" && !common;
      select.value = stretch === "collection" && !common ? otherwise : stretch;
    }
    if (stretch === "plain") return bands.map(() => ({ black: 0, white: 255, gamma: 1 }));
    if (stretch === "collection" && common) {
      return common.black.map((black, at) => ({ black, white: common.white[at], gamma: common.gamma }));
    }
    return bands.map((band) => limitsOf(band, stretch === "full"));
  }

  private classTable(key: string): any[] {
    const own = this.owner.json.item_assets?.[key]?.["classification:classes"];
    return own ?? this.owner.json.summaries?.["classification:classes"] ?? [];
  }

  private async drawMask(turn: number): Promise<void> {
    const asset = this.assets.find((one) => one.json.roles?.includes("mask"));
    this.mask.width = this.mask.height = 1;
    this.mask.style.opacity = String(this.look.mask ?? 0.5);
    if (!asset?.member) return;
    const bytes = asset.member.type === "image/png" ? await bytesOf(asset) : undefined;
    let drawn: ImageBitmap | ImageData;
    if (bytes) {
      drawn = await bitmap(withClearZero(bytes));
    } else {
      const raster = await this.raster(asset);
      drawn = coloured(raster, this.classTable(asset.key));
    }
    if (turn !== this.opened) return;
    [this.mask.width, this.mask.height] = [drawn.width, drawn.height];
    const context = this.mask.getContext("2d")!;
    if (drawn instanceof ImageData) context.putImageData(drawn, 0, 0);
    else context.drawImage(drawn, 0, 0);
    this.scale();
  }

  private async drawOutlines(turn: number, size: [number, number] | undefined): Promise<void> {
    this.outlines?.remove();
    this.outlines = undefined;
    const asset = this.assets.find((one) => one.key === "annotation" && one.member?.type === "application/geo+json");
    if (!asset || !size) return;
    const found = JSON.parse(new TextDecoder().decode(await bytesOf(asset)));
    if (turn !== this.opened) return;
    const [height, width] = this.item.properties?.["proj:shape"] ?? [size[1], size[0]];
    const make = (tag: string) => document.createElementNS("http://www.w3.org/2000/svg", tag);
    const svg = make("svg") as SVGSVGElement;
    svg.setAttribute("viewBox", `0 0 ${Number(width)} ${Number(height)}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", "outlines");
    svg.setAttribute("aria-hidden", "true");
    const table = this.owner.json.summaries?.["classification:classes"] ?? [];
    const rows = new Map<string, any>(table.map((row: any, at: number) => [row.name, { ...row, at }]));
    for (const feature of found.features ?? []) {
      const { type, coordinates } = feature.geometry ?? {};
      const polygons = type === "Polygon" ? [coordinates] : type === "MultiPolygon" ? coordinates : [];
      const rings: number[][][] = polygons.flat();
      const text = rings
        .map((ring) => `M${ring.map(([x, y]) => `${Number(x)} ${Number(y)}`).join("L")}Z`)
        .join("");
      if (!text) continue;
      const name = String(feature.properties?.class ?? "");
      const row = rows.get(name);
      const path = make("path");
      path.setAttribute("d", text);
      path.setAttribute("stroke", colourOf(row?.color_hint, row?.at ?? 0));
      const title = make("title");
      title.textContent = row?.title ?? name;
      path.append(title);
      svg.append(path);
    }
    svg.style.display = this.look.outlines === false ? "none" : "";
    this.outlines = svg;
    this.sheet.append(svg);
  }

  /** Makes the image as large as there is room, in whole pixels where they are seen. */
  private scale(): void {
    const { width, height } = this.image;
    if (width <= 1 || !this.stage.clientWidth) return;
    const edge = this.stage.clientWidth > 600 ? EDGE : 0; // a phone has no room to spare
    const room = Math.min((this.stage.clientWidth - edge) / width, (this.stage.clientHeight - edge) / height);
    const fit = room >= 2 ? Math.floor(room) : room;
    const scale = this.look.zoom ? this.look.zoom : fit;
    this.sheet.style.width = `${width * scale}px`;
    this.sheet.style.height = `${height * scale}px`;
    this.sheet.classList.toggle("sharp", scale >= 1.5);
  }

  // --- controls --------------------------------------------------------------------------------

  private change(part: Look): void {
    this.hooks.change({ ...this.look, ...part });
  }

  private writeControls(pictures: Asset[], choices: BandChoice[], bands: BandChoice[], shown: Asset | undefined): void {
    const parts: (Node | undefined)[] = [];
    const held = (document.activeElement as HTMLElement | null)?.getAttribute("name");
    if (pictures.length + (choices.length ? 1 : 0) > 1) {
      const select = el(
        "select",
        { name: "show", onchange: () => this.change({ show: select.value, stretch: undefined }) },
        ...pictures.map((one) => el("option", { value: one.key }, String(one.json.title ?? one.key))),
        choices.length ? el("option", { value: `bands:${bands.map(nameOf).join(",")}` }, "Bands") : undefined,
      );
      select.value = shown ? shown.key : `bands:${bands.map(nameOf).join(",")}`;
      parts.push(el("label", {}, "Image ", select));
    }
    if (!shown && choices.length) {
      const selects = (bands.length > 1 ? ["Red", "Green", "Blue"] : ["Band"]).map((channel, at) => {
        const select = el(
          "select",
          { name: channel, onchange: () => this.change({ show: `bands:${selects.map(valueOf).join(",")}` }) },
          ...choices.map((one) => el("option", { value: nameOf(one) }, one.name)),
        );
        select.value = nameOf(bands[at] ?? bands[0]);
        return select;
      });
      const valueOf = (select: HTMLSelectElement) => select.value;
      for (const select of selects) parts.push(el("label", {}, `${select.name} `, select));
      if (choices.length > 2) {
        const one = bands.length > 1;
        const first = nameOf(bands[0]);
        const three = (this.standardBands(choices).length === 3 ? this.standardBands(choices) : choices.slice(0, 3)).map(nameOf);
        parts.push(
          el(
            "button",
            { type: "button", name: "single", onclick: () => this.change({ show: `bands:${one ? first : three.join(",")}` }) },
            one ? "One band" : "Three bands",
          ),
        );
      }
      const stretch = el(
        "select",
        { name: "stretch", onchange: () => this.change({ stretch: stretch.value }) },
        ...Object.entries(STRETCHES).map(([value, text]) => el("option", { value }, text)),
      );
      parts.push(el("label", {}, "Stretch ", stretch));
    }
    if (this.assets.some((one) => one.json.roles?.includes("mask"))) {
      const slider = el("input", {
        ...{ type: "range", name: "mask", min: 0, max: 1, step: 0.05, value: this.look.mask ?? 0.5 },
        oninput: () => (this.mask.style.opacity = slider.value),
        onchange: () => this.change({ mask: Number(slider.value) }),
      });
      parts.push(el("label", {}, "Mask ", slider));
    }
    if (this.assets.some((one) => one.key === "annotation")) {
      const box = el("input", {
        ...{ type: "checkbox", name: "outlines", checked: this.look.outlines !== false },
        onchange: () => this.change({ outlines: box.checked }),
      });
      parts.push(el("label", {}, box, " Outlines"));
    }
    const zoom = el(
      "select",
      { name: "zoom", onchange: () => this.change({ zoom: Number(zoom.value) || undefined }) },
      el("option", { value: "" }, "fit"),
      ...[0.5, 1, 2, 4, 8].map((scale) => el("option", { value: scale }, `${100 * scale} %`)),
    );
    zoom.value = this.look.zoom ? String(this.look.zoom) : "";
    parts.push(el("label", {}, "Size ", zoom));
    this.controls.replaceChildren(...parts.filter((one) => one !== undefined));
    if (held) this.controls.querySelector<HTMLElement>(`[name="${held}"]`)?.focus();
  }

  // --- what is known ---------------------------------------------------------------------------

  private writeFacts(id: string, url: string): void {
    const properties: any = this.item.properties ?? {};
    const parts: Node[] = [];
    const mask = this.assets.find((one) => one.json.roles?.includes("mask"));
    const table: any[] = this.owner.json.summaries?.["classification:classes"] ?? [];
    const statistics: any[] = properties["satimnet:statistics"] ?? [];
    const names: string[] = properties["satimnet:classes"] ?? [];
    const legend = names.map((name) => {
      const at = table.findIndex((row) => row.name === name);
      const told = statistics.find((row) => row.class === name);
      const numbers = [
        told?.count !== undefined ? `${count(told.count)} ×` : "",
        told?.pixels !== undefined ? `${count(told.pixels)} px` : "",
      ];
      return legendRow(colourOf(table[at]?.color_hint, at), table[at]?.title ?? name, numbers.filter(Boolean).join(", "));
    });
    parts.push(el("h3", {}, "Classes"));
    parts.push(legend.length ? el("ul", { class: "legend" }, ...legend) : el("p", { class: "note" }, "none"));
    const own: any[] | undefined = mask && this.owner.json.item_assets?.[mask.key]?.["classification:classes"];
    if (own) {
      parts.push(el("h3", {}, "Mask"));
      const rows = own.filter((row) => row.value).map((row, at) => legendRow(colourOf(row.color_hint, at), row.title ?? row.name, ""));
      parts.push(el("ul", { class: "legend" }, ...rows));
    }
    parts.push(this.findings, el("h3", {}, "Links"), this.links(id, url));
    const asset = this.assets.find((one) => isImage(one.json)) ?? this.assets[0];
    if (asset) {
      const code = pythonOf(this.catalog.url, this.owner.id, id, asset.key);
      const copy = el("button", { type: "button", onclick: () => this.copy(code) }, "Copy");
      parts.push(el("h3", {}, "In Python"), el("pre", { tabindex: "0" }, el("code", {}, code)), copy);
    }
    parts.push(el("h3", {}, "Files"), this.files());
    parts.push(el("h3", {}, "Attributes"), attributes(properties));
    this.facts.replaceChildren(...parts);
    this.tellFindings();
  }

  /** Tells what quality control found of the sample, with those that it is to be compared with. */
  tellFindings(): void {
    if (!this.root.open || this.row < 0) return;
    const found = this.hooks.findings(this.row);
    const parts = found.slice(0, MOST_FINDINGS).map((one) => this.finding(one));
    const rest = found.length - parts.length;
    if (rest > 0) parts.push(el("p", { class: "note" }, `and ${count(rest)} more`));
    this.findings.replaceChildren(...(parts.length ? [el("h3", {}, "Quality"), ...parts] : []));
  }

  private finding(one: Finding): HTMLElement {
    const others = one.rows.filter((row) => row !== this.row);
    const shown = others.length ? [this.row, ...others.slice(0, MOST_BESIDE)] : [];
    const left = others.length - MOST_BESIDE;
    return el(
      "section",
      { class: `finding ${one.check.severity === "error" ? "error" : ""}` },
      el("p", {}, el("strong", {}, one.check.title), ` ${one.message}`),
      el("div", { class: "beside" }, ...shown.map((row) => this.beside(row))),
      left > 0 ? el("p", { class: "note" }, `and ${count(left)} more`) : undefined,
    );
  }

  /** A small picture of a sample, which leads to its page. */
  private beside(row: number): HTMLElement {
    const canvas = el("canvas", { "aria-hidden": "true", width: 1, height: 1 });
    const wanted = this.hooks.picture(row);
    if (wanted) {
      void part(wanted.url, wanted.first, wanted.size)
        .then(bitmap)
        .then((drawn) => {
          [canvas.width, canvas.height] = [drawn.width, drawn.height];
          canvas.getContext("2d")!.drawImage(drawn, 0, 0);
          drawn.close();
        })
        .catch((error: Error) => this.say(error.message));
    }
    const name = row === this.row ? "this one" : this.hooks.id(row);
    return el("a", { href: this.hooks.href(row), "data-row": row }, wanted ? canvas : undefined, el("span", {}, name));
  }

  private copy(text: string): void {
    void navigator.clipboard?.writeText(text).then(() => this.hooks.say("Copied"));
  }

  private files(): Node {
    const rows = this.assets.map((one) =>
      el(
        "li",
        {},
        el("strong", {}, one.key),
        one.member ? el("button", { type: "button", onclick: () => void this.download(one) }, "Download") : undefined,
        el("span", {}, `${count(one.size)} bytes, ${String(one.member?.type ?? one.json.type ?? "of no known type")}`),
        one.member?.["file:checksum"]
          ? el("code", { class: "checksum", title: "multihash of the file" }, String(one.member["file:checksum"]))
          : undefined,
      ),
    );
    return el("ul", { class: "files" }, ...rows);
  }

  private async download(one: Asset): Promise<void> {
    try {
      const href = URL.createObjectURL(new Blob([(await bytesOf(one)) as BlobPart]));
      const name = String(one.member?.href ?? one.key).split("/").pop()!;
      el("a", { href, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60_000);
    } catch (error) {
      this.say((error as Error).message);
    }
  }

  private links(id: string, url: string): Node {
    const found = [
      this.owner.columns.header.items_as === "none" ? undefined : link(url, "Item (JSON)"),
      link(this.owner.url, "Collection (JSON)"),
    ];
    if (this.hooks.browser) {
      const path = `#/collections/${encodeURIComponent(this.owner.id)}/items/${encodeURIComponent(id)}`;
      found.push(link(new URL(this.hooks.browser + path, location.href).href, "STAC Browser"));
    }
    return el("ul", {}, ...found.filter((one) => one !== undefined).map((one) => el("li", {}, one)));
  }
}

// --- of Items ----------------------------------------------------------------------------------

async function itemOf(owner: Collection, row: number, id: string): Promise<{ json: any; url: string }> {
  const { header } = owner.columns;
  await owner.columns.fetch(["nodes"]);
  const nodes = owner.columns.of("nodes");
  const own = row - owner.first;
  const node = header.nodes[nodes[own]] ?? "";
  const folder = node ? `./${node.split("/").map(encodeURIComponent).join("/")}/` : "./";
  if (header.items_as === "json") {
    const url = place(`${folder}${encodeURIComponent(id)}.json`, owner.columns.url);
    return { json: await json(url), url };
  }
  if (header.items_as === "pages") {
    let before = 0;
    for (let at = 0; at < own; at += 1) if (nodes[at] === nodes[own]) before += 1;
    const number = String(Math.floor(before / header.page_size)).padStart(5, "0");
    const url = place(`${folder}items-${number}.json`, owner.columns.url);
    const page = await json(url);
    const found = page.features?.find((one: any) => one.id === id);
    if (!found) throw new Error(`${id} is not on its page ${url}`);
    return { json: found, url };
  }
  return { json: pretended(owner, own, id), url: owner.columns.url };
}

/** What the columns alone know of an Item, where the catalog has files of none. */
function pretended(owner: Collection, row: number, id: string): any {
  const { columns } = owner;
  const { header } = columns;
  const [width, height] = [columns.of("widths")[row], columns.of("heights")[row]];
  const size = columns.at("picture_sizes", row);
  const first = columns.at("picture_firsts", row);
  const assets: any = {};
  if (size) {
    assets.image = {
      ...{ href: header.shards[columns.of("picture_files")[row]], bands: [{}], roles: ["visual"] },
      archive: [{ href: id, type: "image/jpeg", range: [first, first + size - 1] }],
    };
  }
  return { id, properties: { "proj:shape": [height, width] }, assets };
}

function assetsOf(item: any, url: string): Asset[] {
  const found: Asset[] = [];
  for (const [key, asset] of Object.entries<any>(item.assets ?? {})) {
    const member = asset.archive?.[0];
    const [first, last] = member?.range ?? [0, -1];
    const fine = Number.isSafeInteger(first) && Number.isSafeInteger(last) && first >= 0 && last >= first;
    try {
      found.push({
        ...{ key, json: asset, url: place(asset.href, url), member: fine ? member : undefined },
        ...{ first, size: fine ? last - first + 1 : Number(asset["file:size"] ?? 0) },
      });
    } catch {
      // on another host, which is not asked
    }
  }
  return found;
}

const isImage = (asset: any): boolean => Boolean(asset.bands?.length) && !asset.roles?.includes("mask");
const nameOf = (one: BandChoice): string => `${one.asset.key}.${one.number + 1}`;
const round = (value: number): string => String(Math.round(value * 100) / 100);

async function bytesOf(asset: Asset): Promise<Uint8Array> {
  if (asset.size > MOST_MEMBER) throw new Error(`${asset.key} has ${count(asset.size)} bytes, too many to be shown here`);
  return part(asset.url, asset.first, asset.size);
}

async function rasterOf(asset: Asset): Promise<Raster> {
  if (asset.json["satimnet:pixels"] && asset.size <= 2 ** 24) {
    const bytes = await bytesOf(asset);
    const found = readRun(asset.json["satimnet:pixels"], bytes, asset.first);
    if (found) return found;
  }
  const read = (first: number, size: number) => part(asset.url, asset.first + first, size);
  return readTiff(read, asset.size, MOST_SIDE);
}

function bitmap(bytes: Uint8Array): Promise<ImageBitmap> {
  const options: ImageBitmapOptions = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  return createImageBitmap(new Blob([bytes as BlobPart]), options);
}

/** A palette PNG whose value 0 is transparent: alpha 0 for index 0, before the first IDAT. */
export function withClearZero(png: Uint8Array): Uint8Array {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  if (png[25] !== 3) return png; // no palette
  let at = 8;
  while (at + 8 <= png.length) {
    const type = String.fromCharCode(...png.subarray(at + 4, at + 8));
    if (type === "tRNS") return png;
    if (type === "IDAT") break;
    at += 12 + view.getUint32(at);
  }
  const clear = [0, 0, 0, 1, 0x74, 0x52, 0x4e, 0x53, 0, 0x40, 0xe6, 0xd8, 0x66];
  const found = new Uint8Array(png.length + clear.length);
  found.set(png.subarray(0, at));
  found.set(clear, at);
  found.set(png.subarray(at), at + clear.length);
  return found;
}

/** A mask in the colours of its class table, clear where it is 0. */
function coloured(raster: Raster, table: any[]): ImageData {
  const image = new ImageData(raster.width, raster.height);
  const colours = new Map<number, number[]>();
  table.forEach((row, at) => {
    const hint = /^[0-9a-f]{6}$/i.test(row.color_hint ?? "") ? row.color_hint : undefined;
    const value = hint ? parseInt(hint, 16) : Math.imul(at + 1, 0x9e3779b1) & 0xffffff;
    colours.set(Number(row.value), [value >> 16, (value >> 8) & 255, value & 255]);
  });
  const [band] = raster.bands;
  for (let at = 0; at < band.length; at += 1) {
    const value = band[at];
    if (!value) continue;
    const palette = raster.palette && [...raster.palette.subarray(3 * value, 3 * value + 3)];
    image.data.set([...(colours.get(value) ?? palette ?? [255, 0, 255]), 255], 4 * at);
  }
  return image;
}

function legendRow(colour: string, title: string, numbers: string): Node {
  const dot = el("span", { class: "dot" });
  dot.style.background = colour;
  return el("li", {}, dot, title, numbers ? el("span", { class: "note" }, ` ${numbers}`) : undefined);
}

const LEFT_OUT = ["satimnet:classes", "satimnet:statistics", "themes"];

function attributes(properties: any): Node {
  const rows = Object.entries(properties)
    .filter(([name, value]) => !LEFT_OUT.includes(name) && value !== null)
    .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, ...valueNodes(value))));
  return el("dl", {}, ...rows);
}

function valueNodes(value: unknown): Node[] {
  if (isWeb(value)) return [link(value, value)];
  if (Array.isArray(value) && value.every((one) => typeof one === "string" && !one.includes(","))) {
    return [document.createTextNode(value.join(", "))];
  }
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 1).replace(/\n\s*/g, " ");
  return [document.createTextNode(text)];
}
