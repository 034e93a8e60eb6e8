// forecasts the next five years of a share from a table's column, cell by cell: calls `adoption` over HTTP. Needs Node 18 or newer and nothing else.
// Usage, in the project's folder: node examples/adoption/call.mjs [OBSERVATION.csv [URL]]
// Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
import { readFile } from "node:fs/promises";

const [observation = "examples/adoption/iowa_renewables.csv", url = "http://127.0.0.1:8000"] = process.argv.slice(2);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function infer(body, headers = {}) {
  const address = `${url}/v2/models/adoption/infer`;
  const response = await fetch(address, { method: "POST", body, headers }).catch((error) =>
    fail(`${url}: ${error.cause?.message ?? error.message}`),
  );
  const answer = await response.json();
  if (!response.ok) fail(answer.error);
  return answer;
}

// The last column, without its heading; an empty line is a value that is missing.
const table = await readFile(observation, "utf8").catch((error) => fail(error.message));
const lines = table.replace(/\r?\n$/, "").split(/\r?\n/).slice(1);
if (lines.length === 0) fail(`${observation} holds no line below its heading`);
const values = lines.map((line) => line.split(",").at(-1));
// All steps of a sequence bear one number, and the server keeps its state from one to the next.
const sequence_id = 1 + Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
let answer;
for (const [step, value] of values.entries()) {
  answer = await infer(
    JSON.stringify({
      inputs: [{"name": "observation", "datatype": "BYTES", "shape": [1, 1], "data": [value]}],
      outputs: [{"name": "forecast"}],
      parameters: { sequence_id, sequence_start: step === 0, sequence_end: step === values.length - 1 },
    }),
  );
}
for (const { name, data } of answer.outputs) console.log(`${name}: ${data.join(" ")}`);
