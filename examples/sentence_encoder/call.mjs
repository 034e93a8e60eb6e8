// turns the word pieces of a text into a vector of length 1: calls `sentence_encoder` over HTTP. Needs Node 18 or newer and nothing else.
// Usage, in the project's folder: node examples/sentence_encoder/call.mjs [INPUT_IDS.json [URL]]
// Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
import { readFile } from "node:fs/promises";

const [input_ids = "examples/sentence_encoder/input_ids.json", url = "http://127.0.0.1:8000"] = process.argv.slice(2);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function infer(body, headers = {}) {
  const address = `${url}/v2/models/sentence_encoder/infer`;
  const response = await fetch(address, { method: "POST", body, headers }).catch((error) =>
    fail(`${url}: ${error.cause?.message ?? error.message}`),
  );
  const answer = await response.json();
  if (!response.ok) fail(answer.error);
  return answer;
}

const numbers = JSON.parse(await readFile(input_ids, "utf8").catch((error) => fail(error.message)));
const answer = await infer(
  JSON.stringify({
    inputs: [{"name": "input_ids", "datatype": "INT64", "shape": [1, 10], "data": numbers}, {"name": "attention_mask", "datatype": "INT64", "shape": [1, 10], "data": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}],
    outputs: [{"name": "embedding"}],
  }),
);
for (const { name, data } of answer.outputs) console.log(`${name}: ${data.join(" ")}`);
