// Keys that a phone's keyboard lacks, as buttons below the terminal: Esc, Tab, a Ctrl for the next letter, the arrows.

/** Serve the buttons below `element`. Returns what turns typed text into what it is with Ctrl, while that is pressed. */
export function touchKeys(element, terminal) {
  const control = element.querySelector("[data-key=control]");
  const release = () => control.setAttribute("aria-pressed", "false");
  const pressed = () => control.getAttribute("aria-pressed") === "true";
  element.addEventListener("pointerdown", (event) => event.preventDefault()); // the keyboard of the phone stays
  element.addEventListener("click", ({ target }) => {
    const key = target.closest("[data-key]")?.dataset.key;
    if (key === "control") control.setAttribute("aria-pressed", String(!pressed()));
    else if (key === "escape") terminal.input("\x1b");
    else if (key === "tab") terminal.input("\t");
    else if (key) terminal.input(`\x1b${terminal.modes.applicationCursorKeysMode ? "O" : "["}${key}`);
    terminal.focus();
  });
  return (text) => {
    if (!pressed() || !/^[@-_a-z]$/.test(text)) return text;
    release();
    return String.fromCharCode(text.toUpperCase().charCodeAt(0) & 0x1f);
  };
}
