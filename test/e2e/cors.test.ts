/** `skein up --cors` on the real binary: a page's request is answered for its origin, and for no other. */
import { expect, test } from "bun:test";
import { Mesh, patienceMs } from "../../scripts/mesh.ts";

test(
  "a page of the origin that was named may ask, and no other",
  async () => {
    await using mesh = await Mesh.start({ nodes: 1, flags: ["--cors", "https://page.lan"] });
    const node = mesh.nodes[0]!;
    const ask = async (origin: string): Promise<unknown> => {
      const response = await fetch(`${node.ready.api}/v1/jobs`, {
        headers: { origin, authorization: `Bearer ${node.token}` },
      });
      return [response.status, response.headers.get("access-control-allow-origin")];
    };
    expect(await ask("https://page.lan")).toEqual([200, "https://page.lan"]);
    expect(await ask("https://evil.lan")).toEqual([200, null]);
  },
  4 * patienceMs,
);
