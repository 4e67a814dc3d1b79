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
  showButtons();
  if (!isPost(event) || event.detail.ctx.swap === "none") return;
  const panel = document.getElementById("panel");
  (panel?.querySelector("[aria-invalid=true]") ?? panel?.querySelector("h1"))?.focus();
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

showButtons();
