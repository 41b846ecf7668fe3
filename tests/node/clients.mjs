// The simulator as the official Node clients see it: `node clients.mjs URL` runs each case below and prints what it got, as one
// JSON object. tests/test_node_clients.py knows the right answers.
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const url = process.argv[2];
const model = "fast";
const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const prompt = messages[0].content;
const Person = z.object({ name: z.string(), age: z.number().int(), tags: z.array(z.string()) });
const weather = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const claude = new Anthropic({ baseURL: `${url}/anthropic`, apiKey: "any", maxRetries: 0 });
const vercel = createOpenAI({ baseURL: `${url}/v1`, apiKey: "any" });
const quiet = { maxRetries: 0, onError: () => {} };

/** The tool of Vercel's client; `asked` keeps what it was called with. */
function weatherTool(asked) {
  const execute = async (input) => (asked.push(input), "18 degrees");
  return { get_weather: tool({ description: "Now", inputSchema: z.object({ city: z.string() }), execute }) };
}

async function streamed(result) {
  let text = "";
  for await (const delta of result.textStream) text += delta;
  const usage = await result.usage;
  return { same: text === (await result.text), words: text.split(" ").length, tokens: usage.outputTokens, end: await result.finishReason };
}

async function generated(language) {
  const { text, usage, finishReason } = await generateText({ ...quiet, model: language, prompt, maxOutputTokens: 16 });
  return { words: text.split(" ").length, tokens: usage.outputTokens, end: finishReason };
}

async function toldTools(language) {
  const asked = [];
  const { steps, text } = await generateText({
    ...quiet, model: language, prompt, tools: weatherTool(asked), stopWhen: stepCountIs(2),
  });
  return { asked: asked.map((input) => Object.keys(input)), steps: steps.map((step) => step.finishReason), answered: text.length > 0 };
}

const cases = {
  async openai_chat() {
    const answer = await openai.chat.completions.create({ model, messages, max_tokens: 5 });
    return { words: answer.choices[0].message.content.split(" ").length, tokens: answer.usage.completion_tokens, end: answer.choices[0].finish_reason };
  },
  async openai_chat_streamed() {
    const stream = openai.chat.completions.stream({ model, messages, max_tokens: 5, stream_options: { include_usage: true } });
    let deltas = 0;
    stream.on("content", () => deltas++);
    const answer = await stream.finalChatCompletion();
    return { deltas, tokens: answer.usage.completion_tokens, end: answer.choices[0].finish_reason };
  },
  async openai_chat_tool() {
    const asked = [];
    const runner = openai.chat.completions.runTools({
      model, messages, stream: true,
      tools: [{ type: "function", function: { name: "get_weather", description: "Now", parameters: weather, parse: JSON.parse,
        function: (input) => (asked.push(Object.keys(input)), "18 degrees") } }],
    });
    const said = await runner.finalContent();
    return { asked, roles: runner.messages.map((one) => one.role), answered: said.length > 0 };
  },
  async openai_chat_structured() {
    const answer = await openai.chat.completions.parse({ model, messages, response_format: zodResponseFormat(Person, "person") });
    return { fits: Person.safeParse(answer.choices[0].message.parsed).success };
  },
  async openai_responses() {
    const answer = await openai.responses.create({ model, input: prompt, max_output_tokens: 16 });
    return { words: answer.output_text.split(" ").length, tokens: answer.usage.output_tokens, status: answer.status };
  },
  async openai_responses_streamed() {
    const stream = openai.responses.stream({ model, input: prompt, max_output_tokens: 16 });
    let text = "", deltas = 0;
    for await (const event of stream)
      if (event.type === "response.output_text.delta") (text += event.delta), deltas++;
    const answer = await stream.finalResponse();
    return { deltas, same: text === answer.output_text, tokens: answer.usage.output_tokens, status: answer.status };
  },
  async openai_responses_tool() {
    const tools = [{ type: "function", name: "get_weather", parameters: weather, strict: true }];
    const first = await openai.responses.create({ model, input: messages, tools, tool_choice: "required" });
    const call = first.output.find((item) => item.type === "function_call");
    const output = { type: "function_call_output", call_id: call.call_id, output: "18 degrees" };
    const second = await openai.responses.create({ model, input: [...messages, ...first.output, output], max_output_tokens: 20 });
    return { name: call.name, asked: Object.keys(JSON.parse(call.arguments)), answered: second.output_text.length > 0 };
  },
  async openai_responses_structured() {
    const answer = await openai.responses.parse({ model, input: prompt, text: { format: zodTextFormat(Person, "person") } });
    return { fits: Person.safeParse(answer.output_parsed).success };
  },
  async openai_embeddings() {
    const [coded, plain] = await Promise.all([undefined, "float"].map((encoding_format) =>
      openai.embeddings.create({ model, input: ["one", "two"], dimensions: 8, encoding_format })));
    const apart = Math.max(...plain.data[0].embedding.map((value, at) => Math.abs(value - coded.data[0].embedding[at])));
    return { sizes: coded.data.map((one) => one.embedding.length), same: apart < 1e-6, tokens: coded.usage.prompt_tokens };
  },
  async openai_errors() {
    const kinds = [];
    const fault = { simulator: { faults: [{ kind: "error", status: 429, retry_after: "7" }] } };
    for (const bad of [{ model: "nobody" }, { temperature: 3 }, fault])
      await openai.chat.completions.create({ model, messages, ...bad }).catch((error) => kinds.push([error.constructor.name, error.status]));
    return { kinds };
  },
  async openai_models() {
    const names = [];
    for await (const one of await openai.models.list()) names.push(one.id);
    return { names };
  },
  async vercel_responses() { return generated(vercel.responses(model)); },
  async vercel_chat() { return generated(vercel.chat(model)); },
  async vercel_responses_streamed() { return streamed(streamText({ ...quiet, model: vercel.responses(model), prompt, maxOutputTokens: 16 })); },
  async vercel_chat_streamed() { return streamed(streamText({ ...quiet, model: vercel.chat(model), prompt, maxOutputTokens: 16 })); },
  async vercel_responses_tool() { return toldTools(vercel.responses(model)); },
  async vercel_chat_tool() { return toldTools(vercel.chat(model)); },
  async vercel_object() {
    const made = [];
    for (const language of [vercel.responses(model), vercel.chat(model)])
      made.push((await generateObject({ ...quiet, model: language, schema: Person, prompt })).object);
    return { fits: made.map((one) => Person.safeParse(one).success) };
  },
  async vercel_object_streamed() {
    const result = streamObject({ ...quiet, model: vercel.responses(model), schema: Person, prompt });
    let partial = 0;
    for await (const _ of result.partialObjectStream) partial++;
    return { partial: partial > 1, fits: Person.safeParse(await result.object).success };
  },
  async vercel_embeddings() {
    const { embeddings, usage } = await embedMany({ ...quiet, model: vercel.embedding(model), values: ["one", "two"] });
    return { sizes: new Set(embeddings.map((one) => one.length)).size, vectors: embeddings.length, tokens: usage.tokens };
  },
  async claude_message() {
    const answer = await claude.messages.create({ model, max_tokens: 6, messages });
    return { words: answer.content[0].text.split(" ").length, tokens: answer.usage.output_tokens, end: answer.stop_reason };
  },
  async claude_streamed() {
    const stream = claude.messages.stream({ model, max_tokens: 6, messages });
    let text = "";
    stream.on("text", (delta) => (text += delta));
    const answer = await stream.finalMessage();
    return { same: text === answer.content[0].text, tokens: answer.usage.output_tokens, end: answer.stop_reason };
  },
  async claude_tool() {
    const answer = await claude.messages.stream({
      model, max_tokens: 200, messages, tools: [{ name: "get_weather", input_schema: weather }],
    }).finalMessage();
    const call = answer.content.find((block) => block.type === "tool_use");
    return { name: call.name, asked: Object.keys(call.input), end: answer.stop_reason };
  },
};

globalThis.AI_SDK_LOG_WARNINGS = false;
const results = await Promise.all(
  Object.entries(cases).map(async ([name, run]) => [name, await run().catch((error) => ({ error: String(error.stack ?? error) }))]),
);
console.log(JSON.stringify(Object.fromEntries(results)));
