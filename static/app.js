"use strict";

// Everything here is a comfort: each page works without it.

// No script is ever evaluated; the policy lets htmx swap in what our own server sent.
const policy = window.trustedTypes?.createPolicy("htmx", { createHTML: (s) => s, createScript: (s) => s });

htmx.registerExtension("microblog", {
  init(api) {
    const refuse = () => { throw new Error("script evaluation is disabled"); };
    api.initSecurity(policy, refuse, refuse);
  },
});

const SWAPPED = [422, 429]; // the statuses whose answer is the panel with its errors, as in the htmx-config of base.html
const language = document.documentElement.lang;
const flash = document.getElementById("flash");
const all = (selector) => document.querySelectorAll(selector);
const isPost = (event) => event.detail.ctx.request.method.toUpperCase() === "POST";

function say(sentence, kind) {
  const line = document.createElement("p");
  line.className = `flash-${kind}`;
  line.textContent = sentence;
  flash.replaceChildren(line);
  line.scrollIntoView({ block: "nearest" });
}

// What a page says as it comes is read out, too: a screen reader tells of a status only when it changes.
setTimeout(() => {
  if (flash.children.length) flash.replaceChildren(...[...flash.children].map((line) => line.cloneNode(true)));
}, 500);

// A request is under way, has failed, or has come back.

document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden && event.target.dataset?.hxTrigger?.startsWith("every ")) return event.preventDefault(); // nobody looks
  if (!isPost(event)) return;
  flash.replaceChildren();
  event.target.setAttribute("aria-busy", "true");
});

document.addEventListener("htmx:finally:request", (event) => event.target.removeAttribute?.("aria-busy"));

// An error page of ours says what is the matter; a proxy's doesn't.
const isOurs = (response) => response.headers.get("vary")?.includes("HX-Request-Type");
const whatFailed = ({ response, text }) => (isOurs(response) && sentenceOf(text)) || flash.dataset.failed;

document.addEventListener("htmx:response:error", (event) => {
  const { ctx } = event.detail;
  if (isPost(event) && !SWAPPED.includes(ctx.response.status)) say(whatFailed(ctx), "error");
});

document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx && isPost(event)) say(flash.dataset.offline, "error");
});

// A whole page, or what a proxy says, takes the place of nothing.
document.addEventListener("htmx:before:swap", (event) => {
  const { response, text } = event.detail.ctx;
  if (!SWAPPED.includes(response?.status)) return;
  if (isOurs(response) && !text.startsWith("<!doctype")) return;
  event.preventDefault();
  if (isPost(event)) say(whatFailed(event.detail.ctx), "error");
});

function sentenceOf(page) {
  const html = policy ? policy.createHTML(page) : page;
  return new DOMParser().parseFromString(html, "text/html").querySelector("h1 + p")?.textContent;
}

// After a swap, focus moves to the first mistake, or to the heading of the new panel, which becomes the title.
document.addEventListener("htmx:after:swap", (event) => {
  prepare();
  const { ctx } = event.detail;
  goOnAt(ctx.target);
  if (!isPost(event) || ctx.swap === "none") return;
  const part = document.getElementById(ctx.target?.id || "panel");
  const mistake = part?.querySelector("[aria-invalid=true]") ?? part?.querySelector("[role=alert] ~ * [autofocus]");
  const next = mistake ?? part?.querySelector("h1, [data-focus]");
  (next ?? (part?.matches("article") ? part : null))?.focus();
  if (part?.dataset.said) say(part.dataset.said, "success");
  const heading = part?.querySelector("h1");
  if (heading) document.title = `${heading.textContent.trim()} · ${document.title.split(" · ").at(-1)}`;
});

// After "Older posts", reading goes on at the first of them.
document.addEventListener("htmx:before:swap", (event) => {
  if (event.detail.ctx.target?.id === "older") event.detail.ctx.target.previousElementSibling?.setAttribute("data-last", "");
});

function goOnAt(target) {
  if (target?.id !== "older") return;
  const last = document.querySelector("[data-last]");
  last?.removeAttribute("data-last");
  last?.nextElementSibling?.focus();
}

// Fields: passwords are shown on demand, but sent as passwords, because browsers remember plain text. A mistake is
// shown until somebody begins to mend it.

function togglePassword(button, show) {
  document.getElementById(button.getAttribute("aria-controls")).type = show ? "text" : "password";
  button.textContent = show ? button.dataset.hide : button.dataset.show;
  button.setAttribute("aria-label", show ? button.dataset.hideLabel : button.dataset.showLabel);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".field-show");
  if (button) togglePassword(button, document.getElementById(button.getAttribute("aria-controls")).type === "password");
});

document.addEventListener("submit", (event) => {
  for (const button of event.target.querySelectorAll(".field-show")) togglePassword(button, false);
}, true);

document.addEventListener("input", ({ target }) => {
  if (target.getAttribute("aria-invalid") !== "true") return;
  const error = `${target.id}-error`;
  target.removeAttribute("aria-invalid");
  target.setAttribute("aria-describedby", target.getAttribute("aria-describedby")?.replace(error, "").trim() ?? "");
  document.getElementById(error)?.remove();
});

// "Forgot your password?" takes along the name that was typed.
document.addEventListener("input", (event) => {
  const link = document.querySelector(`[data-carries="${event.target.id}"]`);
  if (!link) return;
  const url = new URL(link.href);
  url.searchParams.set("email", event.target.value);
  link.href = url.pathname + url.search;
});

// What is typed stays in this tab, for this person, until it has arrived; but no password and no code. It is kept with
// what the site had put into the field, and only comes back in place of that.
// A long part of a path is a token, and isn't kept anywhere.

const KEPT = "textarea, input:is([type=text], [type=email]):not([readonly], [autocomplete=off], [autocomplete=one-time-code])";

const pathOf = (url) => new URL(url).pathname.replace(/[^/]{60,}/g, "");
const draftOf = (field) => `draft ${document.body.dataset.user} ${pathOf(field.form.action)} ${field.name}`;

document.addEventListener("input", ({ target }) => {
  if (target.form?.method !== "post" || !target.matches(KEPT)) return;
  const [before] = JSON.parse(sessionStorage.getItem(draftOf(target)) ?? "null") ?? [target.defaultValue];
  sessionStorage.setItem(draftOf(target), JSON.stringify([before, target.value]));
});

document.addEventListener("htmx:after:request", (event) => {
  const { response } = event.detail.ctx;
  if (!isPost(event) || !event.target.elements || !response || response.status >= 400) return;
  if (response.headers.get("HX-Redirect")?.startsWith("/login")) return; // the session has ended
  for (const field of event.target.elements) sessionStorage.removeItem(draftOf(field));
});

function forgetDrafts(isMine) {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith("draft ") && !isMine(key)) sessionStorage.removeItem(key);
}

// Whoever comes next finds none of it.
document.addEventListener("submit", ({ target }) => {
  if (new URL(target.action).pathname === "/logout") forgetDrafts(() => false);
});

const isComposer = (field) => field.name === "body" && new URL(field.form.action).pathname === "/";

function restoreDrafts() {
  const { user } = document.body.dataset;
  if (user) forgetDrafts((key) => [`draft ${user} `, "draft  "].some((mine) => key.startsWith(mine)));
  for (const field of all(`form[method=post] :is(${KEPT})`)) {
    const [before, typed] = JSON.parse(sessionStorage.getItem(draftOf(field)) ?? "null") ?? [];
    if (typed === undefined || field.value === typed) continue;
    if (field.value === before) field.value = typed;
    else if (typed && isComposer(field) && !field.value.includes(typed.trim())) field.value = `${typed.trimEnd()} ${field.value}`; // a reply was begun besides
  }
}

// Where the answer to a form is its own page again, the keyboard goes on at the button, or else at the content. Whoever
// pressed it with a mouse sees no ring.

document.addEventListener("submit", ({ target, submitter }) => {
  const pressed = [pathOf(location), pathOf(target.action), submitter?.value];
  if (document.activeElement.matches(":focus-visible")) sessionStorage.setItem("pressed", JSON.stringify(pressed));
}, true);

document.addEventListener("htmx:after:swap", (event) => {
  if (isPost(event)) sessionStorage.removeItem("pressed");
});

function goOnAtButton() {
  const [page, action, value] = JSON.parse(sessionStorage.getItem("pressed") ?? "[]");
  sessionStorage.removeItem("pressed");
  if (page !== pathOf(location) || document.activeElement !== document.body) return;
  const form = [...document.forms].find((it) => pathOf(it.action) === action);
  const button = [...(form?.elements ?? [])].find((it) => it.type === "submit" && it.value === value);
  (button ?? document.getElementById("main")).focus({ preventScroll: flash.children.length > 0 }); // which is above
}

// Buttons: copy, wait, and undo for as long as it works.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies], [data-copies-link]");
  if (!button || !navigator.clipboard) return;
  event.preventDefault();
  const { copies, copiesLink, copied } = button.dataset;
  await navigator.clipboard.writeText(copies ? document.getElementById(copies).innerText : new URL(copiesLink, location).href);
  closeMenu(button.closest(".menu[open]"));
  say(copied, "success");
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[aria-disabled=true]")) event.preventDefault();
});

function waitFor(button) {
  const end = Date.now() + button.dataset.wait * 1000, words = button.textContent;
  button.removeAttribute("data-wait");
  (function tick() {
    const left = Math.ceil((end - Date.now()) / 1000);
    const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    button.setAttribute("aria-disabled", String(left > 0));
    button.textContent = left > 0 ? button.dataset.waiting.replace("{}", clock) : words;
    if (left > 0 && button.isConnected) setTimeout(tick, 1000);
  })();
}

// How long a link still works; a form that was opened in time may be sent a little later. Then the way on appears.
const GRACE = 300; // seconds, as in webapp/accounts/tokens.py

function countDown(line) {
  const end = Date.now() + line.dataset.expires * 1000, said = JSON.parse(line.dataset.words);
  line.removeAttribute("data-expires");
  (function tick() {
    const left = (end - Date.now()) / 1000;
    line.textContent = said[left > 0 ? Math.min(Math.ceil(left / 60) + 1, said.length - 1) : Number(left > -GRACE)];
    if (left <= -GRACE) line.nextElementSibling.hidden = false;
    else if (line.isConnected) setTimeout(tick, 1000);
  })();
}

function endUndo(form) {
  const button = form.querySelector("button");
  setTimeout(() => {
    if (document.activeElement === button) form.querySelector("p").focus();
    button.remove();
  }, form.dataset.undo * 1000);
  form.removeAttribute("data-undo");
}

// A menu closes on Escape and on a click elsewhere; browsers close it for another one.

function closeMenu(menu) {
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenu(document.querySelector(".menu[open]"));
});

document.addEventListener("click", (event) => {
  for (const menu of all(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

// The composer counts as people count: a flag or a family is one character. The server has the last word.
// Ctrl+Enter posts, as in most such boxes.

const FEW_LEFT = 60;
let segmenter;

function lengthOf(text) {
  if (!text) return 0;
  segmenter ??= window.Intl?.Segmenter ? new Intl.Segmenter(language) : { segment: (it) => it };
  return [...segmenter.segment(text)].length;
}

function countAlong() {
  const line = document.querySelector("[data-counts]");
  const box = line && document.getElementById(line.dataset.counts);
  if (!box) return;
  const left = box.dataset.most - lengthOf(box.value.trim().replace(/\n{3,}/g, "\n\n"));
  line.textContent = left < 0 ? line.dataset.over.replace("{}", -left) : line.dataset.left.replace("{}", left);
  line.classList.toggle("is-over", left < 0);
  line.hidden = left >= FEW_LEFT;
}

document.addEventListener("input", (event) => {
  if (event.target.dataset.most) countAlong();
});

document.addEventListener("keydown", (event) => {
  if (event.target.dataset?.most && event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
});

// Times in the reader's own zone, in words that the page brings along: the browser's first format costs a phone a fifth
// of a second. "5 minutes ago" goes on while the page stays open, which is when that may be paid.

const [pattern, ...names] = document.body.dataset.times.split("|"); // the months, and then the halves of the day
const steps = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
let relative;

function exactly(time) {
  const when = new Date(time.dateTime), month = when.getMonth(), hour = when.getHours();
  const parts = {
    y: when.getFullYear(), M: month + 1, MMM: names[month], MMMM: names[month], d: when.getDate(),
    H: hour, h: hour % 12 || 12, m: when.getMinutes(), a: names[12 + (hour > 11)],
  };
  return together(pattern.replace(/{(\w+)}/g, (_, part) => parts[part] ?? String(parts[part[0]]).padStart(2, "0")));
}

// In Cyrillic, a number stays with its word, as webapp/i18n.py has it.
function together(words) {
  return words.replace(/(\d| в) (?=\p{Script=Cyrillic}|\d)/gu, "$1\u00a0");
}

function tellTime() {
  for (const time of all("time[datetime]:not([data-ago], [data-was])")) {
    const words = document.createElement("span");
    words.textContent = time.title = exactly(time);
    time.dataset.was = time.textContent;
    time.replaceChildren(words);
  }
}

function countOn() {
  for (const time of all("time[data-ago]")) {
    const seconds = (Date.now() - new Date(time.dateTime)) / 1000;
    const step = steps.find(([, length]) => seconds >= length);
    if (!step) continue;
    relative ??= new Intl.RelativeTimeFormat(language);
    time.textContent = together(relative.format(-Math.floor(seconds / step[1]), step[0]));
  }
}

document.addEventListener("pointerover", ({ target }) => {
  const time = target.closest("time[data-ago]");
  if (time) time.title = exactly(time);
});

function prepare() {
  for (const button of all(".field-show[hidden]")) button.hidden = false;
  for (const button of all("button[data-copies]")) button.hidden = !navigator.clipboard;
  for (const button of all("[data-wait]")) waitFor(button);
  for (const line of all("[data-expires]")) countDown(line);
  for (const form of all("[data-undo]")) endUndo(form);
  restoreDrafts();
  countAlong();
  tellTime();
}

setInterval(countOn, 30000);
prepare();
addEventListener("load", goOnAtButton); // by then, the other scripts have shown their buttons

// A reply is typed after the name.
const begun = document.querySelector("textarea[autofocus]"); // which may get the focus only later
begun?.setSelectionRange(begun.value.length, begun.value.length);
