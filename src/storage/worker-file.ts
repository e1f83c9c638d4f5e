/**
 * Where a Worker's code is. From source it lies beside us; in a compiled binary every module is bundled into the root of
 * an embedded file system, and only the workers that were given to `bun build --compile` as further entry points keep their
 * path, relative to src/. A literal URL relative to the importing file works in one of the two forms only.
 */
export function workerUrl(pathInSrc: string): URL {
  return new URL(isCompiled() ? `./${pathInSrc}` : `../${pathInSrc}`, import.meta.url);
}

function isCompiled(): boolean {
  return import.meta.url.includes("/$bunfs/") || import.meta.url.includes("/~BUN/");
}
