// finds up to 16 handwritten digits in 96×96 ink: calls `digit_detector` over HTTP. Needs Node 18 or newer and nothing else.
// Usage, in the project's folder: node examples/digit_detector/call.mjs [IMAGE.json [URL]]
// Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
import { readFile } from "node:fs/promises";

const [image = "examples/digit_detector/image.json", url = "http://127.0.0.1:8000"] = process.argv.slice(2);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function infer(body, headers = {}) {
  const address = `${url}/v2/models/digit_detector/infer`;
  const response = await fetch(address, { method: "POST", body, headers }).catch((error) =>
    fail(`${url}: ${error.cause?.message ?? error.message}`),
  );
  const answer = await response.json();
  if (!response.ok) fail(answer.error);
  return answer;
}

const numbers = JSON.parse(await readFile(image, "utf8").catch((error) => fail(error.message)));
const answer = await infer(
  JSON.stringify({
    inputs: [{"name": "image", "datatype": "FP32", "shape": [1, 1, 96, 96], "data": numbers}],
    outputs: [{"name": "boxes"}, {"name": "score"}, {"name": "class_index"}],
  }),
);
for (const { name, data } of answer.outputs) console.log(`${name}: ${data.join(" ")}`);
