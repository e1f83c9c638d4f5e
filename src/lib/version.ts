/** Set by scripts/build.ts; not there when the sources run as they are. */
declare const SKEIN_VERSION: string | undefined;

/** "0.1.0+1a2b3c4d": release and commit ("-changed" when the sources differed from it); "0.0.0-source" outside the binary. */
export const version: string = typeof SKEIN_VERSION === "string" ? SKEIN_VERSION : "0.0.0-source";
