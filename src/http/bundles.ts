import { z } from "zod";
import type { Manifest } from "../lib/bundle-manifest.ts";
import { readEntries, writtenEntries } from "../lib/bundle-manifest.ts";
import { uploadType } from "../lib/bundle-upload.ts";
import { sha256Form } from "../lib/digest.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import type { BundleView } from "../state/answers.ts";
import { bundlesAfter, bundleVersions } from "../state/bundle-views.ts";
import { versionNamed } from "../state/bundles.ts";
import { bundleCopies, bundleName, gitLine } from "../state/commands/bundle-schema.ts";
import { duration } from "../state/commands/duration-schema.ts";
import { secretName } from "../state/commands/shapes.ts";
import { readBytes } from "./body.ts";
import { invalid } from "./problems.ts";
import { type Exchange, type HttpParts, mayStaySilent, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit } from "./shapes.ts";
import { streamed } from "./streams.ts";

const entries = z
  .unknown()
  .describe(
    "Files [path, permissions in octal, size, SHA-256], directories [path, permissions], links [path, 0, target].",
  );
const versionFields = {
  version: z.int(),
  digest: z.string(),
  bytes: z.int(),
  files: z.int(),
  set_at: z.string(),
  set_by: z.string(),
  source: z.string().nullable(),
  copies: z.int(),
  nodes: z.array(z.int()),
  jobs: z.int(),
};

/**
 * Bundles are pushed in three steps: which files does the mesh lack (`/missing`), those files (`/files`), and the name that is to stand for the whole. All three go to one node; each may be
 * repeated. Removing is a command (state/commands/bundle-rm.ts).
 */
export function bundleRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/bundles",
      right: "read",
      doc: "Bundles by name: their newest versions, and which nodes have them.",
      query: z.strictObject({ limit: pageLimit, next, consistency }),
      answer: z.object({
        bundles: z.array(z.object({ name: z.string(), ...versionFields })),
        next: z.string().optional(),
      }),
      async handle({ exchange, query }) {
        const limit = query.limit ?? limits.listDefault;
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          bundlesAfter(tx, query.next ?? "", limit + 1),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { value, index } = read.value;
        const bundles: readonly BundleView[] = value.slice(0, limit);
        return reply.json({ bundles, next: value.length > limit ? bundles.at(-1)?.name : undefined }, index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/bundles/:bundle",
      right: "read",
      doc: "A bundle with the versions that are kept, newest first.",
      query: z.strictObject({ consistency }),
      answer: z.object({ name: z.string(), versions: z.array(z.object(versionFields)) }),
      async handle({ exchange, query }) {
        const name = exchange.req.param("bundle") ?? "";
        const read = await readState(parts, exchange, query.consistency, (tx) => bundleVersions(tx, name));
        if (!read.ok) return reply.refusal(read.why);
        const { value: versions, index } = read.value;
        if (versions.length === 0) return reply.refusal(refuse("not-found", `there is no bundle ${name}`).why);
        return reply.json({ name, versions }, index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/bundles/:bundle/manifest",
      right: "read",
      doc: "What is in a bundle: site, site@3 or site@sha256:….",
      query: z.strictObject({ consistency }),
      answer: z.object({ name: z.string(), version: z.int(), digest: z.string(), entries: z.array(z.unknown()) }),
      async handle({ exchange, query }) {
        const found = await manifestNamed(parts, exchange, query.consistency);
        if (!found.ok) return reply.refusal(found.why);
        const { name, version, manifest } = found.value;
        return reply.json({ name, version, digest: manifest.digest, entries: writtenEntries(manifest.entries) });
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/bundles/:bundle/files/:sha256",
      right: "read",
      doc: "A file of a bundle, by its SHA-256.",
      query: z.strictObject({ consistency }),
      answers: "application/octet-stream",
      async handle({ exchange, query }) {
        const found = await manifestNamed(parts, exchange, query.consistency);
        if (!found.ok) return reply.refusal(found.why);
        const sha256 = exchange.req.param("sha256") ?? "";
        const file = found.value.manifest.entries.find((entry) => entry.kind === "file" && entry.sha256 === sha256);
        if (file?.kind !== "file" || !sha256Form.test(sha256))
          return reply.refusal(refuse("not-found", "the bundle has no file of that SHA-256").why);
        const source = async function* (signal: AbortSignal) {
          for await (const piece of node.bundles.file(file)) {
            if (signal.aborted) throw new Error("this node stops, or nobody reads any more");
            yield piece;
          }
        };
        return streamed(parts, exchange, "application/octet-stream", source);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/bundles/missing",
      right: "jobs:write",
      doc: "Which files of a tree the mesh does not have yet: these are to be sent to the node that is asked.",
      body: z.strictObject({ entries }),
      answer: z.object({ digest: z.string(), bytes: z.int(), files: z.int(), missing: z.array(z.string()) }),
      async handle({ exchange, body }) {
        mayStaySilent(exchange);
        const manifest = await readManifest(body.entries);
        if (!manifest.ok) return reply.refusal(manifest.why);
        const { digest, bytes, files } = manifest.value;
        const lacking = await node.bundles.lacking(manifest.value);
        if (!lacking.ok) return reply.refusal(lacking.why);
        return reply.json({ digest, bytes, files, missing: lacking.value.map(({ sha256 }) => sha256) });
      },
    }),
    {
      method: "POST",
      path: "/v1/bundles/files",
      right: "jobs:write",
      doc: `Files of a tree, as ${uploadType}: each with a head of 52 bytes (its SHA-256, its size, where these bytes stand in it, how many they are). Of large files it says how much there is.`,
      status: 200,
      answer: z.object({ files: z.int(), parts: z.record(z.string(), z.int()) }),
      async serve(exchange) {
        const body = await readBytes(exchange.req.raw);
        if (!body.ok) return reply.refusal(body.why);
        const kept = await node.bundles.receive(body.value);
        return kept.ok ? reply.json(kept.value) : reply.refusal(kept.why);
      },
    },
    route(parts, {
      method: "POST",
      path: "/v1/bundles/git",
      right: "jobs:write",
      doc: "A name stands for what a git repository has at a branch, tag or commit, submodules too. The asked node's git fetches it; with `key`, the name of a secret, that is a voter.",
      status: 201,
      body: z.strictObject({
        name: bundleName,
        url: gitLine("the address of a repository"),
        ref: gitLine("a branch, a tag or a commit").optional(),
        subdir: gitLine("a directory in it").optional(),
        key: secretName.optional(),
        copies: bundleCopies.optional(),
        timeout: duration({ positive: true })
          .refine((ms) => ms <= limits.bundleCheckoutMostMs, "must be at most 1h")
          .optional(),
      }),
      answer: z.object({
        name: z.string(),
        version: z.int(),
        digest: z.string(),
        nodes: z.array(z.int()),
        is_new: z.boolean(),
        commit: z.string(),
        files: z.int(),
        bytes: z.int(),
      }),
      async handle({ exchange, body, by }) {
        mayStaySilent(exchange);
        const { timeout: timeoutMs = limits.bundleCheckoutMs, copies: most = limits.bundleCopies, ...rest } = body;
        const kept = await node.bundles.git({ ...rest, copies: most, timeoutMs }, by);
        if (!kept.ok) return reply.refusal(kept.why);
        const { name, version, digest, holders, isNew, commit, files, bytes, index } = kept.value;
        return reply.json({ name, version, digest, nodes: holders, is_new: isNew, commit, files, bytes }, index, 201);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/bundles",
      right: "jobs:write",
      doc: "A name stands for a tree from now on, all of whose files are there; answered once so many nodes as `copies` says have it on their disks.",
      status: 201,
      body: z.strictObject({
        name: bundleName,
        entries,
        copies: bundleCopies.optional(),
        source: z.string({ error: "must be text" }).max(limits.bundleSourceLength).optional(),
      }),
      answer: z.object({
        name: z.string(),
        version: z.int(),
        digest: z.string(),
        nodes: z.array(z.int()),
        is_new: z.boolean(),
      }),
      async handle({ exchange, body, by }) {
        mayStaySilent(exchange);
        const manifest = await readManifest(body.entries);
        if (!manifest.ok) return reply.refusal(manifest.why);
        const { name, copies: most = limits.bundleCopies, source = null } = body;
        const kept = await node.bundles.keep({ name, manifest: manifest.value, copies: most, source }, by);
        if (!kept.ok) return reply.refusal(kept.why);
        const { version, digest, holders, isNew, index } = kept.value;
        return reply.json({ name, version, digest, nodes: holders, is_new: isNew }, index, 201);
      },
    }),
  ];
}

async function readManifest(written: unknown): Promise<Outcome<Manifest>> {
  const read = await inTurns(readEntries(written));
  return read.ok ? accept(read.manifest) : invalid(read.problems, "the bundle");
}

/** The manifest of the version that the path names. */
async function manifestNamed(
  parts: HttpParts,
  exchange: Exchange,
  freshness: "linearizable" | "stale",
): Promise<Outcome<{ readonly name: string; readonly version: number; readonly manifest: Manifest }>> {
  const reference = exchange.req.param("bundle") ?? "";
  const read = await readState(parts, exchange, freshness, (tx) => versionNamed(tx, reference));
  if (!read.ok) return read;
  const version = read.value.value;
  if (typeof version === "string") return refuse("not-found", version);
  const manifest = await parts.node.bundles.manifest(version.digest);
  return manifest.ok ? accept({ name: version.name, version: version.version, manifest: manifest.value }) : manifest;
}
