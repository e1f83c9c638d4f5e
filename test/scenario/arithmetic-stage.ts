import { assert, Bug } from "../../src/lib/assert.ts";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { changeConfiguration, emptyConfiguration, leaveJoint } from "../../src/raft/configuration.ts";
import { everything, quorumReached, quorumVote, type VoteResult } from "../../src/raft/quorum.ts";
import type { Configuration, ConfigurationChange } from "../../src/raft/types.ts";
import type { Command, Stage } from "./script.ts";
import { sayConfiguration } from "./words.ts";

/** Membership as a value: what each change makes of a configuration, without any protocol. */
export class ConfigurationStage implements Stage {
  #configuration = emptyConfiguration;

  perform({ verb, words, options }: Command): readonly string[] {
    const list = (name: string): NodeId[] => nodesOf(options.get(name));
    switch (verb) {
      case "begin":
        this.#configuration = { ...emptyConfiguration, voters: list("voters"), learners: list("learners") };
        return [sayConfiguration(this.#configuration)];
      case "leave":
        try {
          return this.#becomes(leaveJoint(this.#configuration));
        } catch (error) {
          if (!(error instanceof Bug)) throw error;
          return [`a bug: ${error.message}`];
        }
      case "replace":
        return this.#change({ kind: "replace", voters: list("voters"), learners: list("learners") });
      case "add-learner":
      case "promote":
      case "demote":
      case "remove":
        return this.#change({ kind: verb, node: nodeId(Number(words[0])) });
      default:
        throw new Error(`there is no verb ${verb}`);
    }
  }

  #change(change: ConfigurationChange): readonly string[] {
    const next = changeConfiguration(this.#configuration, change);
    return typeof next === "string" ? [`refused: ${next}`] : this.#becomes(next);
  }

  #becomes(next: Configuration): readonly string[] {
    this.#configuration = next;
    return [sayConfiguration(next)];
  }
}

/** Arithmetic of quorums. Each answer is compared with the definition, which looks at every set of voters. */
export class QuorumStage implements Stage {
  perform({ verb, options }: Command): readonly string[] {
    const configuration = {
      voters: nodesOf(options.get("voters")),
      outgoing: nodesOf(options.get("outgoing")),
      learners: [],
      learnersNext: [],
    };
    if (verb === "committed") {
      const at = pairs(options.get("reached"), Number);
      const found = quorumReached(configuration, { reached: (node) => at.get(node) ?? 0 });
      const defined = Math.min(...halves(configuration, (voters) => naiveReached(voters, at)));
      assert(found === defined, `the definition gives ${defined}, not ${found}`);
      return [found === everything ? "everything" : String(found)];
    }
    assert(verb === "vote", `there is no verb ${verb}`);
    const votes = pairs(options.get("votes"), (word) => word === "yes");
    const found = quorumVote(configuration, votes, new Set(nodesOf(options.get("absent"))));
    if (!options.has("absent")) {
      const results = halves(configuration, (voters) => naiveVote(voters, votes));
      const defined = results.includes("lost") ? "lost" : results.includes("pending") ? "pending" : "won";
      assert(found === defined, `the definition gives ${defined}, not ${found}`);
    }
    return [found];
  }
}

const halves = <Result>({ voters, outgoing }: Configuration, of: (half: readonly NodeId[]) => Result): Result[] => [
  of(voters),
  of(outgoing),
];

/** Every set of more than half of the voters. */
function majorities(voters: readonly NodeId[]): NodeId[][] {
  const sets = Array.from({ length: 2 ** voters.length }, (_, bits) => voters.filter((_, at) => (bits >> at) & 1));
  return sets.filter((set) => set.length * 2 > voters.length);
}

/** The highest value that all of some majority have reached. */
function naiveReached(voters: readonly NodeId[], at: ReadonlyMap<NodeId, number>): number {
  if (voters.length === 0) return everything;
  return Math.max(...majorities(voters).map((set) => Math.min(...set.map((node) => at.get(node) ?? 0))));
}

/** Won: all of some majority said yes. Lost: in every majority somebody said no. */
function naiveVote(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  if (voters.length === 0) return "won";
  const sets = majorities(voters);
  if (sets.some((set) => set.every((node) => votes.get(node) === true))) return "won";
  return sets.every((set) => set.some((node) => votes.get(node) === false)) ? "lost" : "pending";
}

function nodesOf(text: string | undefined): NodeId[] {
  return (text ?? "").split(",").filter(Boolean).map(Number).map(nodeId);
}

/** `1:5 2:6`. */
function pairs<Value>(text: string | undefined, valueOf: (word: string) => Value): Map<NodeId, Value> {
  const found = (text ?? "").split(" ").filter(Boolean);
  return new Map(
    found.map((pair) => {
      const [node, word] = pair.split(":") as [string, string];
      return [nodeId(Number(node)), valueOf(word)];
    }),
  );
}
