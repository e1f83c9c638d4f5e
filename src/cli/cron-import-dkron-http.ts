import type { Part } from "./cron-import-part.ts";

/** What Dkron waits for an answer, in seconds, unless it is said otherwise. */
const usualTimeout = 30;

/** A request of Dkron's executor http as one of driver http. */
export function httpOfDkron(config: Part): Record<string, unknown> {
  const url = config.text("url") ?? "";
  if (url === "") config.problem("url", "is missing");
  const http: Record<string, unknown> = { method: config.text("method") ?? "GET", url };
  const headers = readHeaders(config);
  if (Object.keys(headers).length > 0) http["headers"] = headers;
  const body = config.text("body") ?? "";
  if (body !== "") http["body"] = body;
  const codes = config.text("expectCode") ?? "";
  if (codes === "")
    config.note("", "any answer is a success for Dkron; here one of 2xx is (http.expect says otherwise)");
  else if (/^[1-5]\d\d(\s*,\s*[1-5]\d\d)*$/.test(codes)) http["expect"] = codes.split(",").map(Number);
  else config.problem("expectCode", `"${codes}" is not a list of statuses like 200,206`);
  if ((config.text("expectBody") ?? "") !== "")
    config.note("expectBody", "is not looked for in the answer: a command that asks and looks can");
  for (const key of ["tlsCertificateFile", "tlsCertificateKeyFile", "tlsRootCAsFile"])
    if ((config.text(key) ?? "") !== "")
      config.problem(
        key,
        "requests are judged by the authorities of the node's system, and show no certificate: use a command",
      );
  if (config.text("tlsNoVerifyPeer") === "true")
    config.problem(
      "tlsNoVerifyPeer",
      "certificates are always looked at: add the authority to the node's system, or use a command",
    );
  config.skip("debug");
  const timeout = config.text("timeout") ?? "";
  if (timeout !== "" && !/^\d{1,9}$/.test(timeout))
    config.problem("timeout", `"${timeout}" is not a number of seconds`);
  return { driver: "http", http, timeout: `${Number(timeout) || usualTimeout}s` };
}

/** A list of "Name: value", as text of JSON. */
function readHeaders(config: Part): Record<string, string> {
  const text = config.text("headers") ?? "";
  if (text === "") return {};
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  const headers: Record<string, string> = {};
  if (!Array.isArray(list)) config.problem("headers", 'is not a list in JSON, like ["Content-Type: application/json"]');
  else
    for (const one of list) {
      const match = /^([^:]+):\s*(.*?)\s*$/s.exec(String(one));
      if (match !== null) headers[match[1]!.trim()] = match[2]!;
      else if (one !== "") config.problem("headers", `${JSON.stringify(one)} is not of the form "Name: value"`);
    }
  return headers;
}
