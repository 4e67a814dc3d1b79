"use strict";

// In an ordinary form, a passkey instead of typing into a field or two: it fills another field, and the form is sent as usual.
// Loaded after passkeys.js, whose functions and sentences it uses.

function optionsOf(part) {
  const { options } = part.dataset;
  return options ? PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(options)) : optionsFor(part);
}

function replacedBy(part, form) {
  return part.dataset.insteadOf.split(" ").map((name) => form.elements[name]).filter(Boolean);
}

function isFilledIn(form, replaced) {
  for (const field of replaced) field.required = false;
  return form.reportValidity();
}

async function answerInstead(part) {
  const form = part.closest("form");
  const replaced = replacedBy(part, form);
  sayIn(part, "");
  if (!isFilledIn(form, replaced)) return;
  form.setAttribute("aria-busy", "true");
  try {
    const credential = await navigator.credentials.get({ publicKey: await optionsOf(part) });
    part.querySelector("[name=passkey_proof]").value = JSON.stringify(credential.toJSON());
    for (const field of replaced) field.value = "";
    form.requestSubmit();
  } catch (error) {
    sayIn(part, wordsFor(part, error));
  } finally {
    form.removeAttribute("aria-busy");
  }
}

const showParts = () => document.querySelectorAll("[data-or-passkey]").forEach((part) => (part.hidden = !knows));
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-or-passkey] button");
  if (button) answerInstead(button.closest("[data-or-passkey]"));
});
document.addEventListener("htmx:after:swap", showParts);
showParts();
