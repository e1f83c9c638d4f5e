import type { CommandInput, CommandName, CommandValue } from "../state/commands/index.ts";
import { SkeinClient } from "./client.ts";

/**
 * The client with every command of the mesh by its name, for the command line and scripts of the repository. The published library is without it: the types
 * of commands are those of their schemas.
 */
export class CommandClient extends SkeinClient {
  /**
   * One command by name (jobs are submitted with {@link submit}). Repeated by itself only when the node certainly did nothing, or with `idempotent`: the caller knows
   * that doing it twice is doing it once.
   */
  async call<Name extends Exclude<CommandName, "job.submit">>(
    name: Name,
    input: CommandInput<Name>,
    options: { readonly idempotent?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<CommandValue<Name>> {
    const { value } = await this.transport.json<CommandValue<Name>>({
      method: "POST",
      path: `/v1/commands/${name}`,
      body: JSON.stringify(input),
      repeat: options.idempotent === true ? "freely" : "unless-sent",
      signal: options.signal,
    });
    return value;
  }
}
