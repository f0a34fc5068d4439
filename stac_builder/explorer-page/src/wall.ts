/**
 * The wall: pictures of all rows in whole lines, drawn on one canvas as large as the window.
 *
 * Links lie over the tiles that are seen, for the keyboard, screen readers and the mouse.
 */

import { el } from "./dom";
import { Parts, Wanted } from "./fetching";

export interface Tiles {
  aspect(row: number): number;
  colour(row: number): string;
  label(row: number): string;
  href(row: number): string;
  picture(row: number): Omit<Wanted, "key"> | undefined;
  onHover(row: number | undefined): void;
  onOpen(row: number): void;
}

const TALLEST = 8_000_000; // pixels of a scrolled element that every browser takes
const MOST_PIXELS = 24_000_000; // of pictures that are kept
const GAP = 2;
const ASK = 60; // milliseconds, so that scrolling past asks for nothing

export class Wall {
  readonly root: HTMLElement;
  rows: Uint32Array = new Uint32Array(0);
  /** Place in `rows` that has the keyboard's focus. */
  focus = 0;
  private readonly canvas = el("canvas", { "aria-hidden": "true" });
  private readonly list = el("ul", { class: "tiles" });
  private readonly inner = el("div", { class: "wall-inner" }, this.canvas, this.list);
  private readonly pictures = new Map<number, ImageBitmap | null>();
  private pixels = 0;
  private readonly parts: Parts;
  private starts = new Uint32Array(1);
  private tops = new Float64Array(1);
  private size = 96;
  private scheduled = false;
  private listing = 0;
  private asking = 0;
  private stretched = 1;
  private marked: number | undefined;

  constructor(private readonly tiles: Tiles, private readonly failed: (error: Error) => void) {
    this.root = el(
      "section",
      { class: "wall", "aria-label": "Samples", tabindex: "-1" },
      this.inner,
    );
    this.parts = new Parts(
      async (one, bytes) => {
        let picture: ImageBitmap | null = null;
        try {
          picture = await createImageBitmap(new Blob([bytes as BlobPart]), {
            colorSpaceConversion: "none",
          });
        } catch {
          // nothing that this browser shows
        }
        this.keep(one.key, picture);
        this.schedule();
      },
      (keys, error) => {
        for (const key of keys) this.keep(key, null);
        this.failed(error);
      },
    );
    this.root.addEventListener("scroll", () => this.schedule(), { passive: true });
    new ResizeObserver(() => this.layOut(true)).observe(this.root);
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.list.addEventListener("keydown", (event) => this.pressed(event));
    this.root.addEventListener("mousemove", (event) => this.hovered(event));
    this.root.addEventListener("mouseleave", () => this.tiles.onHover(undefined));
  }

  /** Shows these rows from the top. */
  show(rows: Uint32Array, size: number): void {
    const before = this.rows;
    this.rows = rows;
    this.size = size;
    this.focus = Math.min(this.focus, Math.max(0, rows.length - 1));
    if (before !== rows) {
      this.root.scrollTop = 0;
      this.focus = 0;
    }
    if (!rows.length) {
      // it may be hidden, and is not laid out then
      [this.starts, this.tops] = [new Uint32Array(1), new Float64Array(1)];
      this.root.dataset.seen = this.root.dataset.drawn = "0";
    }
    this.layOut(before === rows);
  }

  /** Waits until the tiles that are seen have their pictures, or for two seconds. */
  async settled(): Promise<void> {
    for (let left = 40; left > 0; left -= 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const { drawn, seen } = this.root.dataset;
      if (seen !== undefined && drawn === seen) return;
    }
  }

  /** Marks a row that is pointed at elsewhere. */
  mark(row: number | undefined): void {
    this.marked = row;
    this.schedule();
  }

  private keep(row: number, picture: ImageBitmap | null): void {
    this.pictures.set(row, picture);
    if (picture) this.pixels += picture.width * picture.height;
    const [first, end] = this.seen();
    const needed = new Set(this.rows.subarray(first, end));
    for (const [old, kept] of this.pictures) {
      if (this.pixels <= MOST_PIXELS) break;
      if (needed.has(old)) continue;
      if (kept) this.pixels -= kept.width * kept.height;
      kept?.close();
      this.pictures.delete(old);
    }
  }

  /** Puts rows into lines as wide as the wall. */
  private layOut(keepPlace: boolean): void {
    const width = this.root.clientWidth;
    if (!width) return;
    const at = keepPlace ? this.seen()[0] : 0;
    const { rows, size } = this;
    const starts: number[] = [];
    const tops: number[] = [];
    let top = 0;
    let first = 0;
    while (first < rows.length) {
      let end = first;
      let wide = 0;
      while (end < rows.length && (end === first || wide < width - size / 3)) {
        wide += this.tiles.aspect(rows[end]) * size + GAP;
        end += 1;
      }
      starts.push(first);
      tops.push(top);
      const before = tops.length > 1 ? top - tops[tops.length - 2] - GAP : size;
      top += this.lineHeight(first, end, width, wide < width - size / 3, before) + GAP;
      first = end;
    }
    starts.push(rows.length);
    tops.push(top);
    this.starts = Uint32Array.from(starts);
    this.tops = Float64Array.from(tops);
    const tall = Math.min(top, TALLEST);
    const room = this.root.clientHeight;
    this.stretched = top > TALLEST ? (top - room) / (TALLEST - room) : 1;
    this.inner.style.height = `${tall}px`;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(room * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${room}px`;
    if (keepPlace) this.root.scrollTop = this.tops[this.lineOf(at)] / this.stretched;
    this.schedule();
  }

  /** Of a last line that is not full, as high as the line before it. */
  private lineHeight(first: number, end: number, width: number, last: boolean, before: number): number {
    if (last) return Math.min(this.size, before);
    let aspects = 0;
    for (let at = first; at < end; at += 1) aspects += this.tiles.aspect(this.rows[at]);
    return (width - GAP * (end - first - 1)) / aspects;
  }

  private lineOf(at: number): number {
    let [low, high] = [0, this.starts.length - 2];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= at) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  private get offset(): number {
    return this.root.scrollTop * this.stretched;
  }

  private lineAt(y: number): number {
    let [low, high] = [0, this.tops.length - 2];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tops[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  /** The first place in `rows` that is seen, and the one after the last. */
  private seen(more = 0): [number, number] {
    const room = this.root.clientHeight;
    const first = this.lineAt(this.offset - more * room);
    const last = this.lineAt(this.offset + (1 + more) * room);
    return [this.starts[first] ?? 0, this.starts[last + 1] ?? this.rows.length];
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      const begin = performance.now();
      this.draw();
      this.root.dataset.frame = (performance.now() - begin).toFixed(1); // milliseconds
    });
  }

  /** Calls with each tile that is seen: place in `rows`, left, top, width and height. */
  private each(call: (at: number, x: number, y: number, w: number, h: number) => void): void {
    const room = this.root.clientHeight;
    const from = this.lineAt(this.offset);
    const to = this.lineAt(this.offset + room);
    for (let line = from; line <= to && line < this.starts.length - 1; line += 1) {
      const height = this.tops[line + 1] - this.tops[line] - GAP;
      const y = this.tops[line] - this.offset;
      let x = 0;
      for (let at = this.starts[line]; at < this.starts[line + 1]; at += 1) {
        const wide = this.tiles.aspect(this.rows[at]) * height;
        call(at, x, y, wide, height);
        x += wide + GAP;
      }
    }
  }

  private draw(): void {
    const context = this.canvas.getContext("2d")!;
    const ratio = this.canvas.width / Math.max(1, this.root.clientWidth);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    let [seen, drawn] = [0, 0];
    this.each((at, x, y, w, h) => {
      const row = this.rows[at];
      const left = Math.round(x * ratio);
      const top = Math.round(y * ratio);
      const wide = Math.round((x + w) * ratio) - left;
      const high = Math.round((y + h) * ratio) - top;
      const picture = this.pictures.get(row);
      seen += 1;
      if (picture) {
        drawn += 1;
        // small patches larger: their own pixels, not a blur
        context.imageSmoothingEnabled = wide < 1.75 * picture.width;
        context.imageSmoothingQuality = wide < picture.width ? "medium" : "low";
        context.drawImage(picture, left, top, wide, high);
      } else {
        context.globalAlpha = 0.35;
        context.fillStyle = this.tiles.colour(row);
        context.fillRect(left, top, wide, high);
        context.globalAlpha = 1;
      }
      if (row === this.marked) {
        context.strokeStyle = "#ffb000";
        context.lineWidth = 3 * ratio;
        context.strokeRect(left + 2, top + 2, wide - 4, high - 4);
      }
    });
    this.root.dataset.seen = String(seen);
    this.root.dataset.drawn = String(drawn);
    this.asking ||= window.setTimeout(() => this.ask(), ASK);
    window.clearTimeout(this.listing);
    this.listing = window.setTimeout(() => this.writeList(), 80);
  }

  /** Asks for the pictures that are missing: of what is seen, and of a screen before and after. */
  private ask(): void {
    this.asking = 0;
    const missing = new Map<number, Wanted>();
    for (const [first, end] of [this.seen(), this.seen(1)]) {
      for (let at = first; at < end; at += 1) {
        const row = this.rows[at];
        if (this.pictures.has(row) || missing.has(row)) continue;
        const picture = this.tiles.picture(row);
        if (picture) missing.set(row, { ...picture, key: row });
      }
    }
    this.parts.want([...missing.values()]);
  }

  /** Writes the links over the tiles that are seen. */
  private writeList(): void {
    const held = this.list.contains(document.activeElement);
    const made: HTMLElement[] = [];
    const [first, end] = this.seen();
    if (!(this.focus >= first && this.focus < end) && !held) this.focus = first;
    const top = this.root.scrollTop;
    this.each((at, x, y, w, h) => {
      const row = this.rows[at];
      const anchor = el("a", {
        href: this.tiles.href(row),
        tabindex: at === this.focus ? 0 : -1,
        "aria-label": `${this.tiles.label(row)}, ${at + 1} of ${this.rows.length}`,
        "data-at": at,
      });
      anchor.style.cssText = `left:${x}px;top:${y + top}px;width:${w}px;height:${h}px`;
      made.push(el("li", {}, anchor));
    });
    this.list.replaceChildren(...made);
    if (held) this.link(this.focus)?.focus({ preventScroll: true });
  }

  private link(at: number): HTMLElement | null {
    return this.list.querySelector(`[data-at="${at}"]`);
  }

  /** Gives a tile the focus, and scrolls to it. */
  focusOn(at: number): void {
    this.focus = Math.max(0, Math.min(at, this.rows.length - 1));
    const line = this.lineOf(this.focus);
    const room = this.root.clientHeight;
    if (this.tops[line] < this.offset) this.root.scrollTop = this.tops[line] / this.stretched;
    if (this.tops[line + 1] > this.offset + room) {
      this.root.scrollTop = (this.tops[line + 1] - room) / this.stretched;
    }
    this.draw();
    this.writeList();
    this.link(this.focus)?.focus({ preventScroll: true });
  }

  /** Draws at once, as when what tiles are called is known. */
  refresh(): void {
    this.schedule();
  }

  private clicked(event: MouseEvent): void {
    const target = (event.target as HTMLElement).closest("a");
    if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.focus = Number(target.dataset.at);
    this.tiles.onOpen(this.rows[this.focus]);
  }

  private pressed(event: KeyboardEvent): void {
    const line = this.lineOf(this.focus);
    const across = this.starts[line + 1] - this.starts[line];
    const page = Math.max(1, Math.floor(this.root.clientHeight / (this.size + GAP))) * across;
    const steps: Record<string, number> = {
      ...{ ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across },
      ...{ PageUp: -page, PageDown: page, Home: -this.focus, End: this.rows.length },
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.focusOn(this.focus + steps[event.key]);
  }

  private hovered(event: MouseEvent): void {
    const target = (event.target as HTMLElement).closest<HTMLElement>("a[data-at]");
    this.tiles.onHover(target ? this.rows[Number(target.dataset.at)] : undefined);
  }
}
