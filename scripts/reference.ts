/** Writes docs/reference.md from the list of commands and routes; a test says when it is out of date. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { referencePage } from "../src/http/reference.ts";
import { root } from "./steps.ts";

writeFileSync(path.join(root, "docs", "reference.md"), referencePage());
