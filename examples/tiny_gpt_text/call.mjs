// goes on from a prompt, one streamed answer a token: calls `tiny_gpt_text` over HTTP. Needs Node 18 or newer and nothing else.
// Usage, in the project's folder: node examples/tiny_gpt_text/call.mjs [PROMPT [URL]]
// Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
const [prompt = "def read(path):\n", url = "http://127.0.0.1:8000"] = process.argv.slice(2);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

const response = await fetch(`${url}/v2/models/tiny_gpt_text/generate_stream`, {
  method: "POST",
  body: JSON.stringify({ prompt, max_tokens: 32 }),
}).catch((error) => fail(`${url}: ${error.cause?.message ?? error.message}`));

// Each event is one line, `data: {...}`, with one piece of the answer; an error may come as a line of its own.
let rest = "";
for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + piece).split("\n");
  rest = lines.pop();
  lines.forEach(show);
}
show(rest);
process.stdout.write("\n");

function show(line) {
  if (!line) return;
  const { text: token, error } = JSON.parse(line.replace(/^data: /, ""));
  if (error) fail(error);
  process.stdout.write(token);
}
