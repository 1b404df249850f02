"use strict";
// Text only ever enters the page as textContent: nothing that a model writes becomes markup.

const byId = (id) => document.getElementById(id);
const columns = []; // {name, section, messages}
let running = null; // the AbortController of the answers being written

function addParagraph(section, kind, text) {
  const paragraph = document.createElement("p");
  paragraph.className = kind;
  paragraph.textContent = text;
  section.append(paragraph);
  section.scrollTop = section.scrollHeight;
  return paragraph;
}

async function open() {
  const answer = await fetch("/v1/models");
  for (const model of (await answer.json()).data) {
    const section = document.createElement("section");
    const heading = document.createElement("h2");
    heading.textContent = model.id;
    section.append(heading);
    byId("columns").append(section);
    columns.push({ name: model.id, section, messages: [] });
  }
}

async function* readEvents(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const text of events) if (text !== "data: [DONE]") yield JSON.parse(text.slice(6));
  }
}

async function answer(column, signal) {
  const messages = column.messages; // a new conversation replaces the list
  const temperature = byId("temperature").value;
  const system = byId("system").value.trim();
  const start = system ? [{ role: "system", content: system }] : [];
  const request = {
    model: column.name,
    messages: [...start, ...messages],
    ...(temperature && { temperature: Number(temperature) }),
    stream: true,
  };
  const paragraph = addParagraph(column.section, "assistant", "");
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request),
      signal,
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const event of readEvents(response.body)) {
      if (event.error) throw new Error(event.error.message);
      paragraph.textContent += event.choices[0]?.delta.content ?? "";
      column.section.scrollTop = column.section.scrollHeight;
    }
  } catch (error) {
    if (error.name !== "AbortError") addParagraph(column.section, "fault", error.message);
  }
  const content = paragraph.textContent;
  if (content) messages.push({ role: "assistant", content });
  else messages.pop(); // a message without an answer is not sent again
}

async function send(event) {
  event.preventDefault();
  const text = byId("message").value.trim();
  if (!text || running) return;
  byId("message").value = "";
  running = new AbortController();
  byId("send").hidden = true;
  byId("stop").hidden = false;
  for (const column of columns) {
    column.messages.push({ role: "user", content: text });
    addParagraph(column.section, "user", text);
  }
  await Promise.all(columns.map((column) => answer(column, running.signal)));
  running = null;
  byId("send").hidden = false;
  byId("stop").hidden = true;
  byId("message").focus();
}

byId("ask").addEventListener("submit", send);
byId("stop").addEventListener("click", () => running?.abort());
byId("reset").addEventListener("click", () => {
  running?.abort();
  for (const column of columns) {
    column.messages = [];
    column.section.querySelectorAll("p").forEach((each) => each.remove());
  }
});
byId("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) send(event);
});
open();
