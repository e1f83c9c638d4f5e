import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { jobId, nobody, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { explainJob } from "../scheduler/explain.ts";
import { foresee } from "../scheduler/foresee.ts";
import type { Standing } from "../scheduler/lack.ts";
import type { PlacementView } from "../scheduler/view.ts";
import type { ExplainView, PlanView } from "../state/answers.ts";
import { type CommandInput, commandByName } from "../state/commands/index.ts";
import { waitingFacts } from "../state/explaining.ts";
import { appliedIndex } from "../state/queries.ts";
import { foreseenJobs, rehearseSubmit, type Specs, specsOf } from "../state/rehearsal.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal, Role } from "../state/types.ts";
import { malformed, text } from "../transport/frames.ts";
import type { Duties } from "./duties.ts";

/**
 * What only the leader's planner can answer: why a job waits, and where a spec's tasks would start. Whoever is asked has the leader answer, from its own
 * view, once that has everything that was acknowledged before the question (R1).
 */
export interface QuestionPorts {
  readonly self: NodeId;
  /** {@link nobody} when unknown. */
  leader(): NodeId;
  isLeading(): boolean;
  readonly duties: Pick<Duties, "inspect">;
  level(): number;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** Resolves when this node has everything that was acknowledged before. */
  catchUp(): Promise<Outcome<unknown>>;
  /** Throws Fault. */
  ask(leader: NodeId, method: string, body: unknown): Promise<unknown>;
}

/** Specs in the shape of the log, and who would submit them. */
export interface PlanRequest extends Specs {
  readonly by: { readonly token: string; readonly name: string; readonly role: Role };
}

/** A value and the state that it was read from. */
type Answer<Value> = Outcome<{ readonly value: Value; readonly index: number }>;

/** After a change of leaders the duties need a moment. */
const againMs = 50;

/** See above. */
export class Questions {
  readonly #ports: QuestionPorts;

  constructor(ports: QuestionPorts) {
    this.#ports = ports;
  }

  explain(job: number): Promise<Answer<ExplainView>> {
    return this.#ask("job.explain", job, () => this.#explain(job));
  }

  plan(
    { jobs, lists }: Pick<CommandInput<"job.submit">, "jobs" | "lists">,
    { token, name, role }: Principal,
  ): Promise<Answer<PlanView>> {
    const by = { token, name, role: role as Role };
    const prepared = commandByName("job.submit").prepare({ jobs, lists }, by);
    const request: PlanRequest = { ...specsOf(prepared), by };
    return this.#ask("job.plan", request, () => this.#plan(request));
  }

  /** For another member: the answer as text. */
  async explainHere(job: number): Promise<string> {
    return JSON.stringify(await this.#explain(job));
  }

  /** The same of a plan. */
  async planHere(request: PlanRequest): Promise<string> {
    return JSON.stringify(await this.#plan(request));
  }

  /** Until somebody leads and answers; what is refused for good is refused at once. */
  async #ask<Value>(method: string, body: unknown, here: () => Promise<Answer<Value>>): Promise<Answer<Value>> {
    const deadline = monotonicMs() + limits.readWaitMs;
    while (true) {
      const answer = await this.#askOnce(method, body, here);
      if (answer.ok || answer.why.code !== "unavailable" || monotonicMs() >= deadline) return answer;
      await new Promise((resolve) => setTimeout(resolve, againMs));
    }
  }

  async #askOnce<Value>(method: string, body: unknown, here: () => Promise<Answer<Value>>): Promise<Answer<Value>> {
    if (this.#ports.isLeading()) return here();
    const leader = this.#ports.leader();
    if (leader === nobody) return noLeader;
    try {
      return answerOf<Value>(await this.#ports.ask(leader, method, body));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return error.retry === "never" ? refuse("conflict", error.message) : noLeader;
    }
  }

  #explain(id: number): Promise<Answer<ExplainView>> {
    return this.#currently((tx) => {
      const facts = waitingFacts(tx, id);
      if (facts === undefined)
        return refuse("not-found", `there is no job ${id}: finished jobs are forgotten after their ttl`);
      return this.#inspect((view, standings, now) => explainJob(facts, view.queued(jobId(id)), standings, now));
    });
  }

  #plan({ by, ...specs }: PlanRequest): Promise<Answer<PlanView>> {
    return this.#currently((tx) =>
      this.#inspect((view, standings, now) => {
        const facts = {
          at: Math.round(now),
          level: this.#ports.level(),
          index: appliedIndex(tx),
          self: this.#ports.self,
        };
        const why = rehearseSubmit(tx, specs, by, facts);
        const refusal = why && {
          code: why.code,
          message: why.message,
          ...(why.details ? { details: why.details } : {}),
        };
        return { refusal: refusal ?? null, jobs: foresee(foreseenJobs(tx, specs, now), standings, view) };
      }),
    );
  }

  async #currently<Value>(read: (tx: ReadTx) => Outcome<Value>): Promise<Answer<Value>> {
    const current = await this.#ports.catchUp();
    if (!current.ok) return current;
    return this.#ports.view((tx) => {
      const outcome = read(tx);
      return outcome.ok ? accept({ value: outcome.value, index: appliedIndex(tx) }) : outcome;
    });
  }

  #inspect<Value>(look: (view: PlacementView, standings: Standing[], now: number) => Value): Outcome<Value> {
    const value = this.#ports.duties.inspect(look);
    return value === undefined ? noLeader : accept(value);
  }
}

const noLeader = refuse("unavailable", "no leader answered within 5 s: repeat the request, or ask another node", {
  retryAfterMs: 1000,
  retry: "safe",
});

/** An outcome as another member wrote it; its value is what this version's types say, or what is shown of it is the other's. */
function answerOf<Value>(body: unknown): Answer<Value> {
  try {
    const answer = JSON.parse(text(body)) as Partial<Answer<Value>> | null;
    if (answer?.ok === true || typeof (answer as { why?: { message?: unknown } } | null)?.why?.message === "string")
      return answer as Answer<Value>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw malformed("answer");
}
