// The words of a session's page, out of its template: `words` by name, and `say` for sentences that come in English from
// the gateway, the Jump Client or a script (site/console/words.py), with their values in braces.

const found = document.getElementById("words").content;
const VALUE = /\{(\w+)\}/g;
const TIME = /^(\d{4})-(\d\d)-(\d\d) (\d\d:\d\d UTC)$/;

export const words = Object.fromEntries(
  [...found.querySelectorAll("[data-word]")].map((one) => [one.dataset.word, one.textContent]));

const sentences = [...found.querySelectorAll("[data-said]")].map((one) => {
  const pattern = one.dataset.said.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(VALUE, "(?<$1>.*)");
  return [new RegExp(`^${pattern}$`, "s"), one.textContent];
});

/** A sentence in the reader's language; one that is not known, as it came. */
export function say(text) {
  for (const [pattern, said] of sentences) {
    const values = pattern.exec(text);
    if (values) return said.replace(VALUE, (_, name) => value(values.groups[name]));
  }
  return text;
}

/** A value of a sentence: a time has its day as the reader's language writes it (the word `day`, of Django's letters). */
function value(text) {
  const time = TIME.exec(text);
  if (time === null) return text;
  const [, Y, m, d, rest] = time;
  return `${words.day.replace(/[Ymd]/g, (letter) => ({ Y, m, d })[letter])} ${rest}`;
}
