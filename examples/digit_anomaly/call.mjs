// tells whether a picture shows something else than a handwritten digit: calls `digit_anomaly` over HTTP. Needs Node 18 or newer and nothing else.
// Usage, in the project's folder: node examples/digit_anomaly/call.mjs [PICTURE [URL]]
// Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
import { readFile } from "node:fs/promises";

const [picture = "examples/digits/3_thick_marker.png", url = "http://127.0.0.1:8000"] = process.argv.slice(2);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function infer(body, headers = {}) {
  const address = `${url}/v2/models/digit_anomaly/infer`;
  const response = await fetch(address, { method: "POST", body, headers }).catch((error) =>
    fail(`${url}: ${error.cause?.message ?? error.message}`),
  );
  const answer = await response.json();
  if (!response.ok) fail(answer.error);
  return answer;
}

const content = await readFile(picture).catch((error) => fail(error.message));
// JSON cannot carry the bytes of a file. They follow it, after their count in 4 bytes, the lowest first.
const header = Buffer.from(
  JSON.stringify({
    inputs: [{"name": "picture", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": 4 + content.length}}],
    outputs: [{"name": "score"}, {"name": "is_anomaly"}],
  }),
);
const count = Buffer.alloc(4);
count.writeUInt32LE(content.length);

const answer = await infer(Buffer.concat([header, count, content]), {
  "Inference-Header-Content-Length": String(header.length),
});
for (const { name, data } of answer.outputs) console.log(`${name}: ${data.join(" ")}`);
