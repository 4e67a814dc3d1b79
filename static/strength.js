"use strict";

// How strong a new password looks while it is typed. It is only ever measured here; the site judges what is sent.

const FEWEST_DIFFERENT = 5, FEWEST_UNFORESEEN = 6; // as in webapp/passwords/strength.py
const PAUSE = 300; // milliseconds: a screen reader need not hear of every key

// Characters that continue a run, such as "aaa", "abc" or "321", add nothing.
function unforeseen(codes) {
  const step = (place) => codes[place] - codes[place - 1];
  return codes.filter((_code, place) => place < 2 || step(place) !== step(place - 1) || Math.abs(step(place)) > 1).length;
}

// By code points, and composed, as the site counts: some keyboards send an accent as a character of its own.
const charactersOf = (password) => Array.from(password.normalize("NFKC"));

function strengthOf(password, least, name) {
  const typed = charactersOf(password);
  if (typed.length < least) return "short";
  const text = name.length > 2 ? password.toLowerCase().replaceAll(name.toLowerCase(), "") : password.toLowerCase();
  const codes = Array.from(text, (character) => character.codePointAt(0));
  const news = unforeseen(codes);
  if (new Set(typed).size < FEWEST_DIFFERENT || news < FEWEST_UNFORESEEN) return "weak";
  if (news >= least + 10) return "strong";
  return news >= least + 4 || text.trim().split(/\s+/).length > 2 ? "good" : "fair";
}

function nameBeside(field) {
  return field.form?.querySelector("[autocomplete=username]")?.value ?? "";
}

function showStrength(field, box) {
  const least = Number(box.dataset.least), length = charactersOf(field.value).length;
  const strength = strengthOf(field.value, least, nameBeside(field));
  const levels = ["weak", "fair", "good", "strong"];
  // The first quarter of the bar is for reaching the minimum length.
  box.querySelector("meter").value = strength === "short" ? length / least : 1 + levels.indexOf(strength);
  box.hidden = length === 0;
  clearTimeout(box.waiting);
  box.waiting = setTimeout(() => {
    box.querySelector("p").textContent = box.dataset[strength].replace("{length}", length);
  }, PAUSE);
}

document.addEventListener("input", (event) => {
  const box = document.querySelector(`.strength[data-of="${event.target.id}"]`);
  if (box) showStrength(event.target, box);
});
