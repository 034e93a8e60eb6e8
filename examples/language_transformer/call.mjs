// tells the language of letters, all at once: calls `language_transformer` over HTTP. Needs Node 18 or newer and nothing else.
// Usage, in the project's folder: node examples/language_transformer/call.mjs [TOKENS.json [URL]]
// Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
import { readFile } from "node:fs/promises";

const [tokens = "examples/language_transformer/tokens.json", url = "http://127.0.0.1:8000"] = process.argv.slice(2);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function infer(body, headers = {}) {
  const address = `${url}/v2/models/language_transformer/infer`;
  const response = await fetch(address, { method: "POST", body, headers }).catch((error) =>
    fail(`${url}: ${error.cause?.message ?? error.message}`),
  );
  const answer = await response.json();
  if (!response.ok) fail(answer.error);
  return answer;
}

const numbers = JSON.parse(await readFile(tokens, "utf8").catch((error) => fail(error.message)));
const answer = await infer(
  JSON.stringify({
    inputs: [{"name": "tokens", "datatype": "INT64", "shape": [1, 12], "data": numbers}],
    outputs: [{"name": "logits"}],
  }),
);
for (const { name, data } of answer.outputs) console.log(`${name}: ${data.join(" ")}`);
