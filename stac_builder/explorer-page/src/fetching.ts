/** Reading of files and of parts of them, from the page's own host and that of the catalog. */

let allowed = new Set<string>([location.origin]);

/** Only these hosts are asked for anything. */
export function allowHost(url: string): void {
  allowed = new Set([location.origin, new URL(url).origin]);
}

/** The place of an href in a file; an error if it leads to a host that nobody named. */
export function place(href: string, base: string): string {
  const url = new URL(href, base);
  if (!allowed.has(url.origin)) {
    throw new Error(`${url.href} lies on another host; open the catalog there`);
  }
  return url.href;
}

async function answer(url: string, range?: string): Promise<Response> {
  place(url, url);
  let found: Response;
  try {
    found = await fetch(url, { headers: range ? { Range: range } : {}, credentials: "same-origin" });
  } catch {
    throw new Error(`${url} cannot be reached, or its host lets no other page read it`);
  }
  if (!found.ok) throw new Error(`${url} answers ${found.status}`);
  return found;
}

const MOST_WHOLE = 2 ** 24;

/** The bytes from `first` on, `size` of them. */
export async function part(url: string, first: number, size: number): Promise<Uint8Array> {
  if (!(Number.isSafeInteger(first) && first >= 0 && size > 0 && size < 2 ** 31)) {
    throw new Error(`${url}: a byte range cannot be`);
  }
  const found = await answer(url, `bytes=${first}-${first + size - 1}`);
  if (found.status !== 206) {
    // the whole file: only of a small one that is no harm
    if (Number(found.headers.get("Content-Length") ?? Infinity) > MOST_WHOLE) {
      await found.body?.cancel();
      throw new Error(`the host of ${url} ignores ranges; take one that answers them with 206`);
    }
    const whole = new Uint8Array(await found.arrayBuffer());
    return whole.subarray(first, first + size);
  }
  const bytes = new Uint8Array(await found.arrayBuffer());
  if (bytes.length !== size) throw new Error(`${url} is shorter than its catalog says`);
  return bytes;
}

/** A JSON document. */
export async function json(url: string): Promise<any> {
  return (await answer(url)).json();
}

/** How long a file is; undefined where the host does not tell. */
export async function sizeOf(url: string): Promise<number | undefined> {
  const found = await answer(url, "bytes=0-0");
  const total = /\/(\d+)$/.exec(found.headers.get("Content-Range") ?? "");
  await found.body?.cancel();
  return total ? Number(total[1]) : undefined;
}

/** The bytes of a gzip or zlib stream. */
export async function expanded(
  bytes: Uint8Array,
  format: CompressionFormat = "gzip",
): Promise<Uint8Array> {
  const stream = new Blob([bytes as BlobPart]).stream();
  const found = new Response(stream.pipeThrough(new DecompressionStream(format)));
  return new Uint8Array(await found.arrayBuffer());
}

export interface Wanted {
  url: string;
  first: number;
  size: number;
  key: number;
}

const GAP = 2 ** 16;
const RUN = 1.5 * 2 ** 20;
const AT_ONCE = 6;

/** Fetches many small parts: neighbours in one request, what is not wanted any more never. */
export class Parts {
  private queue: Wanted[][] = [];
  private busy = 0;
  private underWay = new Set<number>();

  constructor(
    private readonly take: (one: Wanted, bytes: Uint8Array) => Promise<void>,
    private readonly failed: (keys: number[], error: Error) => void,
  ) {}

  /** Replaces what is waiting. */
  want(parts: Wanted[]): void {
    const left = parts.filter((one) => !this.underWay.has(one.key));
    const order = new Map(left.map((one, at) => [one.key, at]));
    const files = new Map<string, number>();
    for (const one of left) if (!files.has(one.url)) files.set(one.url, files.size);
    left.sort((a, b) => files.get(a.url)! - files.get(b.url)! || a.first - b.first);
    const runs: Wanted[][] = [];
    for (const one of left) {
      const run = runs[runs.length - 1];
      const last = run?.[run.length - 1];
      const near = last && last.url === one.url && one.first - (last.first + last.size) <= GAP;
      if (run && near && one.first + one.size - run[0].first <= RUN) run.push(one);
      else runs.push([one]);
    }
    const soonest = (run: Wanted[]) => Math.min(...run.map((one) => order.get(one.key)!));
    this.queue = runs
      .map((run) => ({ run, at: soonest(run) }))
      .sort((a, b) => a.at - b.at)
      .map(({ run }) => run);
    this.next();
  }

  private next(): void {
    while (this.busy < AT_ONCE && this.queue.length) void this.fetch(this.queue.shift()!);
  }

  private async fetch(run: Wanted[]): Promise<void> {
    this.busy += 1;
    for (const one of run) this.underWay.add(one.key);
    const first = run[0].first;
    const end = Math.max(...run.map((one) => one.first + one.size));
    try {
      const bytes = await part(run[0].url, first, end - first);
      await Promise.all(
        run.map((one) => this.take(one, bytes.subarray(one.first - first, one.first - first + one.size))),
      );
    } catch (error) {
      this.failed(run.map((one) => one.key), error as Error);
    } finally {
      for (const one of run) this.underWay.delete(one.key);
      this.busy -= 1;
      this.next();
    }
  }
}
