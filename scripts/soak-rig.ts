/** A mesh on which trouble of given kinds can be made: nodes on hosts of their own, on disks that fail, one level lower, as far as is asked. */
import path from "node:path";
import { FaultyDisk, faultyDiskLibrary } from "./faulty-disk.ts";
import { Mesh } from "./mesh.ts";
import { Namespaces, noNamespaces } from "./namespaces.ts";
import { type Fault, faults, levelVariable, type World } from "./soak-nemesis.ts";

export interface Rig extends World, AsyncDisposable {
  /** In which the nodes lie; each disk has its own place below. */
  stop(): Promise<void>;
}

/** Why these faults cannot be had here; undefined: they can. */
export async function whyNot(kinds: readonly Fault[]): Promise<string | undefined> {
  if (kinds.some((kind) => faults[kind].needs === "network")) {
    const reason = noNamespaces();
    if (reason !== undefined) return reason;
  }
  if (!kinds.some((kind) => faults[kind].needs === "disk")) return undefined;
  const disk = await faultyDiskLibrary();
  return "missing" in disk ? disk.missing : undefined;
}

/** Starts the nodes with all that the faults need. `ownLevel`: what the binary understands, for an upgrade. */
export async function startRig(
  nodes: number,
  kinds: readonly Fault[],
  options: { readonly voters?: number; readonly ownLevel: number; readonly flags?: readonly string[] },
): Promise<Rig> {
  const needs = (what: "network" | "disk"): boolean => kinds.some((kind) => faults[kind].needs === what);
  const disk = needs("disk") ? await faultyDiskLibrary() : undefined;
  if (disk !== undefined && "missing" in disk) throw new Error(disk.missing);
  // One host more for a node that joins; there is one such at a time.
  const network = needs("network") ? await Namespaces.make(nodes + 1) : undefined;
  const disks: FaultyDisk[] = [];
  const { voters, flags = [] } = options;
  let made: Mesh | undefined;
  /** Of the first nodes; one that joins later is like the others by then. */
  const firstLevel = kinds.includes("upgrade") ? String(options.ownLevel - 1) : undefined;
  try {
    const mesh = await Mesh.start({
      nodes,
      flags: [...flags, ...(voters === undefined ? [] : ["--voters", String(voters)])],
      place: (number, directory) => {
        const level = made === undefined ? firstLevel : made.nodes[0]?.environment[levelVariable];
        let env: Record<string, string> = level === undefined ? {} : { [levelVariable]: level };
        if (disk !== undefined) {
          const one = new FaultyDisk(disk.library, path.join(directory, "disk"), path.join(directory, "data"));
          if (kinds.includes("power-loss")) one.journal();
          disks.push(one);
          env = { ...env, ...one.environment };
        }
        if (network === undefined) return { env };
        const host = Math.min(number, nodes + 1);
        return { env, through: network.through(host), host: network.address(host) };
      },
    });
    made = mesh;
    const stop = async (): Promise<void> => {
      network?.heal();
      for (const one of disks) one.heal();
      await mesh.stop();
      for (const one of disks) one.close();
      network?.close();
    };
    return { mesh, disks, network, voters, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    network?.close();
    throw error;
  }
}
