import { Packr } from "msgpackr";

/**
 * MessagePack with no shared record structures: another process, or a later version, could not read them.
 * Integers above 32 bits travel as doubles (all ours are safe integers). `undefined` members are left out by
 * callers, never encoded. Binary fields of a decoded value are views of the input: copy what outlives it.
 */
const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  int64AsType: "number",
  copyBuffers: false,
  bundleStrings: false,
});

/**
 * Encodes to a buffer of its own, exactly as long as the value: the packer's result is a view of its large pool, and a view
 * handed to a Worker would take the whole pool along.
 */
export function encode(value: unknown): Uint8Array {
  return new Uint8Array(packr.pack(value));
}

/** Decodes one value. Throws on bytes that are not MessagePack; the caller decides what that means. */
export function decode(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}
