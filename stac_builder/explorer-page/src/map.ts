/** The map: where samples lie, without a tile service. A box that is drawn on it filters. */

import { el } from "./dom";
import { land } from "./land";

export type Box = [west: number, south: number, east: number, north: number];

/** Places of rows in degrees: west, south, width, height; NaN where there is none. */
export type Places = Float32Array;

interface View {
  x: number;
  y: number;
  scale: number;
}

const FEW = 4000; // places that are drawn one by one

export class WorldMap {
  readonly root: HTMLElement;
  private readonly canvas = el("canvas", { role: "img", "aria-label": "Map of the samples" });
  private readonly fields: HTMLInputElement[];
  private readonly note = el("span", { class: "note" });
  private readonly rings = land();
  private view: View = { x: 0, y: 0, scale: 2 };
  private rows: Uint32Array = new Uint32Array(0);
  private places: Places = new Float32Array(0);
  private placed = 0;
  private box: Box | undefined;
  private drawn: Box | undefined;
  private marked: number | undefined;
  private fitted = false;
  private base: HTMLCanvasElement | undefined;

  constructor(
    private readonly onBox: (box: Box | undefined) => void,
    private readonly onHover: (row: number | undefined) => void,
  ) {
    this.fields = ["West", "South", "East", "North"].map((name, at) =>
      el("input", {
        type: "number",
        step: "any",
        min: at % 2 ? -90 : -180,
        max: at % 2 ? 90 : 180,
        "aria-label": `${name} side of the box in degrees`,
        placeholder: name,
        onchange: () => this.typed(),
      }),
    );
    const zoom = (factor: number) => () => this.zoom(factor);
    this.root = el(
      "section",
      { class: "map", "aria-label": "Map" },
      this.canvas,
      el(
        "div",
        { class: "map-tools" },
        el("button", { type: "button", onclick: zoom(1.6), "aria-label": "Zoom in" }, "+"),
        el("button", { type: "button", onclick: zoom(1 / 1.6), "aria-label": "Zoom out" }, "−"),
        el("button", { type: "button", onclick: () => this.fit() }, "Fit"),
        el("button", { type: "button", onclick: () => this.root.classList.toggle("large") }, "Larger"),
        ...this.fields,
        el("button", { type: "button", onclick: () => this.onBox(undefined) }, "No box"),
        this.note,
      ),
    );
    new ResizeObserver(() => this.resized()).observe(this.canvas);
    this.listen();
  }

  /** Shows the places of these rows. */
  show(rows: Uint32Array, places: Places, box: Box | undefined): void {
    this.rows = rows;
    this.places = places;
    this.box = box;
    this.fields.forEach((field, at) => (field.value = box ? String(box[at]) : ""));
    let placed = 0;
    for (const row of rows) if (places[4 * row] === places[4 * row]) placed += 1;
    this.placed = placed;
    const without = rows.length - placed;
    this.note.textContent = without
      ? `${without.toLocaleString("en")} of these samples have no known place`
      : "";
    this.base = undefined;
    if (!this.fitted && placed) this.fit();
    this.draw();
  }

  /** Marks a row that is pointed at elsewhere. */
  mark(row: number | undefined): void {
    if (this.marked === row) return;
    this.marked = row;
    this.draw();
  }

  private typed(): void {
    const values = this.fields.map((field) => (field.value === "" ? NaN : Number(field.value)));
    if (values.every((value) => !Number.isNaN(value))) this.onBox(values as Box);
  }

  private resized(): void {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    this.base = undefined;
    if (!this.fitted && this.rows.length) this.fit();
    this.draw();
  }

  /** Looks at all places of the rows that are shown. */
  fit(): void {
    const sides: Box = [180, 90, -180, -90];
    for (const row of this.rows) {
      const at = 4 * row;
      const [west, south] = [this.places[at], this.places[at + 1]];
      if (west !== west) continue;
      sides[0] = Math.min(sides[0], west);
      sides[1] = Math.min(sides[1], south);
      sides[2] = Math.max(sides[2], west + this.places[at + 2]);
      sides[3] = Math.max(sides[3], south + this.places[at + 3]);
    }
    const wide = this.canvas.clientWidth || 600;
    const high = this.canvas.clientHeight || 300;
    if (sides[0] > sides[2]) {
      this.view = { x: 0, y: 10, scale: Math.max(wide / 360, high / 170) };
    } else {
      const across = Math.max(sides[2] - sides[0], 4);
      const down = Math.max(sides[3] - sides[1], 3);
      const scale = 0.86 * Math.min(wide / across, high / down);
      this.view = { x: (sides[0] + sides[2]) / 2, y: (sides[1] + sides[3]) / 2, scale };
      this.fitted = this.canvas.clientWidth > 0;
    }
    this.base = undefined;
    this.draw();
  }

  private zoom(factor: number, at?: [number, number]): void {
    const scale = Math.max(0.5, Math.min(20_000, this.view.scale * factor));
    const real = scale / this.view.scale;
    const [x, y] = at ?? [this.view.x, this.view.y];
    this.view = { x: x + (this.view.x - x) / real, y: y + (this.view.y - y) / real, scale };
    this.base = undefined;
    this.draw();
  }

  private toScreen(x: number, y: number): [number, number] {
    const { view, canvas } = this;
    return [
      canvas.clientWidth / 2 + (x - view.x) * view.scale,
      canvas.clientHeight / 2 - (y - view.y) * view.scale,
    ];
  }

  private toDegrees(event: PointerEvent | WheelEvent): [number, number] {
    const { view, canvas } = this;
    const bounds = canvas.getBoundingClientRect();
    return [
      view.x + (event.clientX - bounds.left - bounds.width / 2) / view.scale,
      view.y - (event.clientY - bounds.top - bounds.height / 2) / view.scale,
    ];
  }

  private listen(): void {
    let from: [number, number] | undefined;
    let moving: { x: number; y: number; view: View } | undefined;
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      if (event.shiftKey || event.button === 1) {
        moving = { x: event.clientX, y: event.clientY, view: this.view };
      } else {
        from = this.toDegrees(event);
      }
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (moving) {
        const { view } = moving;
        const x = view.x - (event.clientX - moving.x) / view.scale;
        const y = view.y + (event.clientY - moving.y) / view.scale;
        this.view = { ...view, x, y };
        this.base = undefined;
        this.draw();
      } else if (from) {
        this.drawn = between(from, this.toDegrees(event));
        this.draw();
      } else {
        this.onHover(this.nearest(this.toDegrees(event)));
      }
    });
    this.canvas.addEventListener("pointerup", (event) => {
      const box = from && between(from, this.toDegrees(event));
      from = moving = this.drawn = undefined;
      const least = 4 / this.view.scale;
      if (box && box[2] - box[0] > least && box[3] - box[1] > least) this.onBox(box);
      else this.draw();
    });
    this.canvas.addEventListener("pointerleave", () => this.onHover(undefined));
    this.canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1.25 : 0.8, this.toDegrees(event));
      },
      { passive: false },
    );
  }

  /** The row whose middle is nearest, within some pixels. */
  private nearest([x, y]: [number, number]): number | undefined {
    let found: number | undefined;
    let least = (10 / this.view.scale) ** 2;
    for (const row of this.rows) {
      const at = 4 * row;
      const across = this.places[at] + this.places[at + 2] / 2 - x;
      const down = this.places[at + 1] + this.places[at + 3] / 2 - y;
      const distance = across * across + down * down;
      if (distance < least) {
        least = distance;
        found = row;
      }
    }
    return found;
  }

  private draw(): void {
    if (!this.canvas.width) return;
    const ratio = this.canvas.width / this.canvas.clientWidth;
    this.base ??= this.drawBase(ratio);
    const context = this.canvas.getContext("2d")!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.base, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const box = this.drawn ?? this.box;
    if (box) {
      const [left, bottom] = this.toScreen(box[0], box[1]);
      const [right, top] = this.toScreen(box[2] < box[0] ? box[2] + 360 : box[2], box[3]);
      context.fillStyle = "rgb(255 176 0 / 15%)";
      context.strokeStyle = "#ffb000";
      context.lineWidth = 1.5;
      context.fillRect(left, top, right - left, bottom - top);
      context.strokeRect(left, top, right - left, bottom - top);
    }
    if (this.marked !== undefined) {
      const at = 4 * this.marked;
      const middle = this.places[at] + this.places[at + 2] / 2;
      const [x, y] = this.toScreen(middle, this.places[at + 1] + this.places[at + 3] / 2);
      context.strokeStyle = "#ff5c00";
      context.lineWidth = 3;
      context.beginPath();
      context.arc(x, y, 9, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  private drawBase(ratio: number): HTMLCanvasElement {
    const made = el("canvas");
    made.width = this.canvas.width;
    made.height = this.canvas.height;
    const context = made.getContext("2d")!;
    const style = getComputedStyle(this.root);
    const colour = (name: string) => style.getPropertyValue(name);
    context.scale(ratio, ratio);
    context.fillStyle = colour("--sea");
    context.fillRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    context.fillStyle = colour("--land");
    context.strokeStyle = colour("--coast");
    context.lineWidth = 0.75;
    for (const shift of [-360, 0, 360]) {
      for (const ring of this.rings) {
        context.beginPath();
        for (let at = 0; at < ring.length; at += 2) {
          const [x, y] = this.toScreen(ring[at] + shift, ring[at + 1]);
          if (at) context.lineTo(x, y);
          else context.moveTo(x, y);
        }
        context.fill();
        context.stroke();
      }
    }
    this.drawPlaces(context, made, ratio, colour("--place"));
    return made;
  }

  private drawPlaces(
    context: CanvasRenderingContext2D,
    made: HTMLCanvasElement,
    ratio: number,
    colour: string,
  ): void {
    const { places, rows, view } = this;
    if (this.placed <= FEW) {
      context.fillStyle = colour;
      for (const row of rows) {
        const at = 4 * row;
        if (places[at] !== places[at]) continue;
        const [x, y] = this.toScreen(places[at], places[at + 1] + places[at + 3]);
        const wide = places[at + 2] * view.scale;
        const high = places[at + 3] * view.scale;
        if (wide > 5) {
          context.globalAlpha = 0.55;
          context.fillRect(x, y, wide, high);
        } else {
          context.globalAlpha = 0.85;
          context.beginPath();
          context.arc(x + wide / 2, y + high / 2, 2.5, 0, 2 * Math.PI);
          context.fill();
        }
      }
      context.globalAlpha = 1;
      return;
    }
    const [wide, high] = [Math.ceil(made.width / 2), Math.ceil(made.height / 2)];
    const density = new Uint32Array(wide * high);
    let most = 1;
    const half = ratio / 2;
    for (const row of rows) {
      const at = 4 * row;
      if (places[at] !== places[at]) continue;
      const x = places[at] + places[at + 2] / 2;
      const y = places[at + 1] + places[at + 3] / 2;
      const column = Math.floor((this.canvas.clientWidth / 2 + (x - view.x) * view.scale) * half);
      const line = Math.floor((this.canvas.clientHeight / 2 - (y - view.y) * view.scale) * half);
      if (column < 0 || line < 0 || column >= wide || line >= high) continue;
      most = Math.max(most, (density[line * wide + column] += 1));
    }
    const image = new ImageData(wide, high);
    const probe = el("canvas").getContext("2d")!;
    probe.fillStyle = colour;
    const hex = probe.fillStyle as string;
    const rgb = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    for (let at = 0; at < density.length; at += 1) {
      if (!density[at]) continue;
      image.data.set(rgb, 4 * at);
      image.data[4 * at + 3] = 90 + 165 * (Math.log1p(density[at]) / Math.log1p(most));
    }
    const small = el("canvas");
    [small.width, small.height] = [wide, high];
    small.getContext("2d")!.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(small, 0, 0, 2 * wide, 2 * high);
  }
}

function between(one: [number, number], other: [number, number]): Box {
  const round = (value: number, most: number) =>
    Math.round(Math.max(-most, Math.min(most, value)) * 1e4) / 1e4;
  return [
    round(Math.min(one[0], other[0]), 180),
    round(Math.min(one[1], other[1]), 90),
    round(Math.max(one[0], other[0]), 180),
    round(Math.max(one[1], other[1]), 90),
  ];
}

/** Whether a place and a box have a point in common; boxes may cross 180 degrees. */
export function touches(places: Places, row: number, box: Box): boolean {
  const at = 4 * row;
  const west = places[at];
  if (west !== west) return false;
  const south = places[at + 1];
  if (south > box[3] || south + places[at + 3] < box[1]) return false;
  const wide = box[2] < box[0] ? box[2] + 360 - box[0] : box[2] - box[0];
  for (const shift of [-360, 0, 360]) {
    const begin = west + shift;
    if (begin <= box[0] + wide && begin + places[at + 2] >= box[0]) return true;
  }
  return false;
}
