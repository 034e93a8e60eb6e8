// tells which of ten photographs a 32×32 patch is from, or the ten classes of CIFAR-10: calls `photo_cnn` over HTTP. Needs Node 18 or newer and nothing else.
// Usage, in the project's folder: node examples/photo_cnn/call.mjs [IMAGE.json [URL]]
// Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
import { readFile } from "node:fs/promises";

const [image = "examples/photo_cnn/image.json", url = "http://127.0.0.1:8000"] = process.argv.slice(2);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function infer(body, headers = {}) {
  const address = `${url}/v2/models/photo_cnn/infer`;
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
    inputs: [{"name": "image", "datatype": "FP32", "shape": [1, 3, 32, 32], "data": numbers}],
    outputs: [{"name": "logits"}],
  }),
);
for (const { name, data } of answer.outputs) console.log(`${name}: ${data.join(" ")}`);
