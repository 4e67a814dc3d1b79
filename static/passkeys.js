"use strict";

// A passkey only fills a field of an ordinary form, which is then sent as ever. A form says with data-passkey what it
// wants: "create" has its options beside it, "get" asks the site for them. Its sentences are in its data, too.

const knows = Boolean(window.PublicKeyCredential?.parseRequestOptionsFromJSON);
const OPTIONS_LAST = 8 * 60_000; // milliseconds; the site takes an answer within ten minutes
let waiting; // what ends the request behind the autofill of the log-in field: there is one at a time

function show(form) {
  for (const part of form.querySelectorAll("[data-with-passkeys]")) part.hidden = !knows;
  for (const part of form.querySelectorAll("[data-without-passkeys]")) part.hidden = knows;
}

function sayIn(form, sentence) {
  const line = form.querySelector("[data-said]");
  line.textContent = sentence;
  line.className = sentence === form.dataset.failed ? "form-error" : "form-notice"; // cancelling is no mistake
  line.hidden = !sentence;
}

async function optionsFor(form) {
  if (form.dataset.passkey === "create") return PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(form.dataset.options));
  const answer = await fetch(form.dataset.challenge, { cache: "no-store", headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`challenge: ${answer.status}`);
  return PublicKeyCredential.parseRequestOptionsFromJSON(await answer.json());
}

function send(form, credential) {
  form.elements.credential.value = JSON.stringify(credential.toJSON());
  const remember = document.querySelector("input[type=checkbox][name=remember_me]");
  if (form.elements.remember_me) form.elements.remember_me.value = remember?.checked ? "1" : "";
  form.submit();
}

function wordsFor(form, error) {
  if (error.name === "InvalidStateError") return form.dataset.duplicate;
  return ["NotAllowedError", "AbortError"].includes(error.name) ? form.dataset.cancelled : form.dataset.failed;
}

async function ask(form) {
  waiting?.abort();
  sayIn(form, "");
  form.setAttribute("aria-busy", "true");
  try {
    const publicKey = await optionsFor(form);
    const asked = form.dataset.passkey === "create" ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey });
    send(form, await asked);
  } catch (error) {
    sayIn(form, wordsFor(form, error));
    offerInField();
  } finally {
    form.removeAttribute("aria-busy");
  }
}

// The log-in field offers the passkeys of this site among what it fills in, for as long as the page is open.
async function offerInField() {
  const form = document.querySelector("form[data-passkey=get]");
  if (!form || !knows || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  const current = (waiting = new AbortController());
  const renewal = setTimeout(() => { current.abort(); offerInField(); }, OPTIONS_LAST);
  try {
    const publicKey = await optionsFor(form);
    const credential = await navigator.credentials.get({ publicKey, mediation: "conditional", signal: current.signal });
    send(document.querySelector("form[data-passkey=get]"), credential);
  } catch {
    // Nobody asked for anything, so there is nothing to say.
  } finally {
    clearTimeout(renewal);
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-passkey]");
  if (!form || !knows || form.elements.credential.value) return;
  event.preventDefault();
  if (form.reportValidity()) ask(form);
});

const showAll = () => document.querySelectorAll("form[data-passkey]").forEach(show);
document.addEventListener("htmx:after:swap", showAll);
showAll();
offerInField();
