/** Elements. Text of a catalog is only ever set as text. */

type Child = Node | string | null | undefined | false;
type Listener = (event: never) => void;

/** An element with attributes, listeners (`onclick`) and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number | boolean | Listener | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      made.addEventListener(name.slice(2), value as EventListener);
    } else if (value === true) {
      made.setAttribute(name, "");
    } else if (value !== undefined && value !== false) {
      made.setAttribute(name, String(value));
    }
  }
  made.append(...(children.filter((child) => child || child === "") as (Node | string)[]));
  return made;
}

/** Whether a URL of a catalog may stand in a link. */
export function isWeb(href: unknown): href is string {
  return typeof href === "string" && /^https?:\/\//i.test(href);
}

/** A link to a URL that a catalog names; plain text if it is none of the web. */
export function link(href: unknown, text: string): Node {
  if (!isWeb(href)) return document.createTextNode(text);
  return el("a", { href, rel: "noopener noreferrer", target: "_blank" }, text);
}

/** A number as people write it. */
export const count = (value: number): string => value.toLocaleString("en");

/** A colour of a class table, or one for a class that has none. */
export function colourOf(hint: unknown, at: number): string {
  if (typeof hint === "string" && /^[0-9a-f]{6}$/i.test(hint)) return `#${hint.toLowerCase()}`;
  return `hsl(${(at * 137.5) % 360} 60% 55%)`;
}
