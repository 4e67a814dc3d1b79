"use strict";

// Everything here is a comfort: each page works without it.

// No script is ever evaluated; the policy lets htmx swap in what our own server sent.
htmx.registerExtension("microblog", {
  init(api) {
    const policy = window.trustedTypes?.createPolicy("htmx", { createHTML: (s) => s, createScript: (s) => s });
    const refuse = () => { throw new Error("script evaluation is disabled"); };
    api.initSecurity(policy, refuse, refuse);
  },
});

const SWAPPED = [422, 429]; // the statuses whose answer is the panel with its errors, as in the htmx-config of base.html
const flash = document.getElementById("flash");
const isPost = (event) => event.detail.ctx.request.method.toUpperCase() === "POST";

function say(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  flash.replaceChildren(line);
  line.scrollIntoView({ block: "nearest" });
}

document.addEventListener("htmx:before:request", (event) => {
  if (isPost(event)) flash.replaceChildren();
});

document.addEventListener("htmx:response:error", (event) => {
  if (isPost(event) && !SWAPPED.includes(event.detail.ctx.response.status)) say(flash.dataset.failed);
});

document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx && isPost(event)) say(flash.dataset.offline);
});

// After a swap the reader goes on at the first mistake, or at the heading of the new panel.
document.addEventListener("htmx:after:swap", (event) => {
  prepare();
  const { ctx } = event.detail;
  goOnAt(ctx.target);
  if (!isPost(event) || ctx.swap === "none") return;
  const part = document.getElementById(ctx.target?.id || "panel");
  const next = part?.querySelector("[aria-invalid=true]") ?? part?.querySelector("h1, [data-focus]");
  (next ?? (part?.matches("article") ? part : null))?.focus();
});

function showButtons() {
  for (const button of document.querySelectorAll(".field-show[hidden]")) button.hidden = false;
  for (const button of document.querySelectorAll("[data-copies]")) button.hidden = !navigator.clipboard;
}

function togglePassword(button, show) {
  document.getElementById(button.getAttribute("aria-controls")).type = show ? "text" : "password";
  button.textContent = show ? button.dataset.hide : button.dataset.show;
  button.setAttribute("aria-label", show ? button.dataset.hideLabel : button.dataset.showLabel);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".field-show");
  if (button) togglePassword(button, document.getElementById(button.getAttribute("aria-controls")).type === "password");
});

// "Copy the codes".
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).innerText);
  say(button.dataset.copied);
});

// Browsers remember what was typed into plain text fields: a password leaves as a password.
document.addEventListener("submit", (event) => {
  for (const button of event.target.querySelectorAll(".field-show")) togglePassword(button, false);
}, true);

// "Forgot your password?" takes along the name that was typed.
document.addEventListener("input", (event) => {
  const link = document.querySelector(`[data-carries="${event.target.id}"]`);
  if (!link) return;
  const url = new URL(link.href);
  url.searchParams.set("email", event.target.value);
  link.href = url.pathname + url.search;
});

// After "Older posts" reading goes on at the first of them.
document.addEventListener("htmx:before:swap", (event) => {
  if (event.detail.ctx.target?.id === "older") event.detail.ctx.target.previousElementSibling?.setAttribute("data-last", "");
});

function goOnAt(target) {
  if (target?.id !== "older") return;
  const last = document.querySelector("[data-last]");
  last?.removeAttribute("data-last");
  last?.nextElementSibling?.focus();
}

// The composer counts along, as people count: a flag or a family is one character. The server has the last word.
const segmenter = window.Intl?.Segmenter && new Intl.Segmenter(document.documentElement.lang);
const lengthOf = (text) => (segmenter ? [...segmenter.segment(text)] : [...text]).length;

function countAlong() {
  const line = document.querySelector("[data-counts]");
  const box = line && document.getElementById(line.dataset.counts);
  if (!box) return;
  const left = box.dataset.most - lengthOf(box.value.trim().replace(/\n{3,}/g, "\n\n"));
  line.textContent = left < 0 ? line.dataset.over.replace("{}", -left) : line.dataset.left.replace("{}", left);
  line.classList.toggle("is-over", left < 0);
  line.hidden = false;
  document.getElementById("body-hint").hidden = true;
}

document.addEventListener("input", (event) => {
  if (event.target.dataset.most) countAlong();
});

// Ctrl+Enter posts, as in most such boxes.
document.addEventListener("keydown", (event) => {
  if (event.target.dataset?.most && event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
});

// What is asked for now and then is not asked for while nobody looks.
document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden && event.target.dataset?.hxTrigger?.startsWith("every ")) event.preventDefault();
});

// "5 minutes ago" goes on while the page stays open.
const steps = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat(document.documentElement.lang);

function tellTime() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const step = steps.find(([, length]) => seconds >= length);
    if (step) time.textContent = relative.format(-Math.round(seconds / step[1]), step[0]);
  }
}

// "Undo" stays for as long as it works.
function endUndo() {
  for (const form of document.querySelectorAll("[data-undo]")) {
    setTimeout(() => form.querySelector("button")?.remove(), form.dataset.undo * 1000);
    form.removeAttribute("data-undo");
  }
}

function prepare() {
  showButtons();
  countAlong();
  endUndo();
}

setInterval(tellTime, 30000);
prepare();
