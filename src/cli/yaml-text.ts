import { type Document, isAlias, isMap, isScalar, isSeq, type Node } from "yaml";

/**
 * What a task finds as text is what stands in the file. YAML would read `1.10` as the number 1.1, `0777` as 777 and `True` as true, and nobody would see it:
 * where values become text (variables, points of a matrix, headers, defaults of parameters that are text) the text of the file is put in their place.
 * Elsewhere a number is a number.
 */
export function keepWritten(document: Document, plain: unknown): void {
  const walk = new Walk(document);
  const root = walk.map(document.contents, plain);
  if (root !== undefined) {
    walk.spec(root);
    walk.each(root, "jobs", (job) => walk.spec(job));
    const spec = walk.under(root, "spec");
    if (spec !== undefined) walk.spec(spec);
    const parameters = walk.under(root, "parameters");
    if (parameters !== undefined) walk.parameters(parameters);
    walk.schedule(root);
    walk.each(root, "schedules", (schedule) => walk.schedule(schedule));
  }
  walk.items(document.contents, plain, (one) => {
    walk.spec(one);
    walk.schedule(one);
  });
}

/** A map of the file, and what it was read as. */
interface Pair {
  readonly node: Node;
  readonly plain: Record<string, unknown>;
}

class Walk {
  readonly #document: Document;

  constructor(document: Document) {
    this.#document = document;
  }

  spec(spec: Pair): void {
    for (const key of ["env", "matrix", "exclude", "include"]) this.#texts(spec, key);
    const http = this.under(spec, "http");
    if (http !== undefined) this.#texts(http, "headers");
  }

  schedule(schedule: Pair): void {
    const job = this.under(schedule, "job");
    if (job !== undefined) this.spec(job);
  }

  parameters({ node, plain }: Pair): void {
    for (const name of Object.keys(plain)) {
      const parameter = this.under({ node, plain }, name);
      const type = parameter?.plain["type"] ?? "text";
      if (parameter === undefined || (type !== "text" && type !== "list")) continue;
      this.#texts(parameter, "default");
      this.#texts(parameter, "values");
    }
  }

  map(node: unknown, plain: unknown): Pair | undefined {
    const found = this.#resolved(node);
    if (!isMap(found) || typeof plain !== "object" || plain === null || Array.isArray(plain)) return undefined;
    return { node: found, plain: plain as Record<string, unknown> };
  }

  under({ node, plain }: Pair, key: string): Pair | undefined {
    return this.map(this.#valueOf(node, key), plain[key]);
  }

  each({ node, plain }: Pair, key: string, visit: (one: Pair) => void): void {
    this.items(this.#valueOf(node, key), plain[key], visit);
  }

  items(node: unknown, plain: unknown, visit: (one: Pair) => void): void {
    const list = this.#resolved(node);
    if (!isSeq(list) || !Array.isArray(plain)) return;
    for (const [at, item] of list.items.entries()) {
      const one = this.map(item, plain[at]);
      if (one !== undefined) visit(one);
    }
  }

  #texts({ node, plain }: Pair, key: string): void {
    if (plain[key] !== undefined) plain[key] = this.#written(this.#valueOf(node, key), plain[key]);
  }

  /** The same value, with texts of the file in the place of what was read of them. */
  #written(raw: unknown, plain: unknown): unknown {
    const node = this.#resolved(raw);
    if (isScalar(node)) {
      const { value, source, type } = node;
      const isRead = type === "PLAIN" && (typeof value === "number" || typeof value === "boolean");
      return isRead && source !== undefined && String(value) !== source ? source : plain;
    }
    if (isSeq(node) && Array.isArray(plain)) return plain.map((item, at) => this.#written(node.items[at], item));
    const map = this.map(node, plain);
    if (map === undefined) return plain;
    return Object.fromEntries(
      Object.entries(map.plain).map(([key, value]) => [key, this.#written(this.#valueOf(map.node, key), value)]),
    );
  }

  #valueOf(node: Node, key: string): unknown {
    if (!isMap(node)) return undefined;
    return node.items.find((item) => isScalar(item.key) && String(item.key.value) === key)?.value;
  }

  #resolved(node: unknown): unknown {
    return isAlias(node) ? node.resolve(this.#document) : node;
  }
}
