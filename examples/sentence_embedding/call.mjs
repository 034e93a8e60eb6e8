// turns a sentence into a vector of length 1: calls `sentence_embedding` over HTTP. Needs Node 18 or newer and nothing else.
// Usage, in the project's folder: node examples/sentence_embedding/call.mjs [TEXT [URL]]
// Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
const [text = "The cat is sleeping on the sofa.", url = "http://127.0.0.1:8000"] = process.argv.slice(2);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function infer(body, headers = {}) {
  const address = `${url}/v2/models/sentence_embedding/infer`;
  const response = await fetch(address, { method: "POST", body, headers }).catch((error) =>
    fail(`${url}: ${error.cause?.message ?? error.message}`),
  );
  const answer = await response.json();
  if (!response.ok) fail(answer.error);
  return answer;
}

const answer = await infer(
  JSON.stringify({
    inputs: [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}],
    outputs: [{"name": "embedding"}],
  }),
);
for (const { name, data } of answer.outputs) console.log(`${name}: ${data.join(" ")}`);
