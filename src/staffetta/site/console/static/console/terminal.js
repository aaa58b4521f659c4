// The terminal on a page: xterm.js under the page's strict policy, its size, its colours, the clipboard, its keys.
//
// xterm.js puts three <style> elements into the page and sets style attributes of single cells. The page's policy
// forbids both, and stays that way: the <style> elements get the page's nonce, and a style attribute is set through the
// style object instead, which the policy does not concern. xterm.js has an option `documentOverride` for it, but in
// 6.0.0 its viewport and its rows are made by the page's own document all the same; so that one is taught, on this page.

import { Terminal as XTerm } from "/static/ui/vendor/xterm.mjs";
import { FitAddon } from "/static/ui/vendor/xterm-addon-fit.mjs";
import { SerializeAddon } from "/static/ui/vendor/xterm-addon-serialize.mjs";
import { touchKeys } from "./touch_keys.js";
import { Unfinished } from "./unfinished.js";

const SCROLLBACK = 5000;
const MOST_CHARACTERS = 1000; // of a side, as the protocol has it
const FOCUS_REPORTS = new Set(["\x1b[I", "\x1b[O"]);
const utf8 = new TextEncoder();

const LIGHT = {
  background: "#ffffff", foreground: "#1a2230", cursor: "#1a2230", cursorAccent: "#ffffff",
  selectionBackground: "#b7d3f5", scrollbarSliderBackground: "#8a94a666",
  black: "#1a2230", red: "#b42318", green: "#1b7a3d", yellow: "#8a5a00", blue: "#1756b8", magenta: "#8a2f9e",
  cyan: "#0b7285", white: "#5f6b7a", brightBlack: "#4a5565", brightRed: "#d92d20", brightGreen: "#23863f",
  brightYellow: "#946200", brightBlue: "#2563d6", brightMagenta: "#a03bb8", brightCyan: "#0c7f93", brightWhite: "#343f4d",
};
const DARK = {
  background: "#0f1521", foreground: "#dbe2ec", cursor: "#dbe2ec", cursorAccent: "#0f1521",
  selectionBackground: "#3a5b8c", scrollbarSliderBackground: "#8a94a666",
  black: "#5d6b80", red: "#f2766b", green: "#6fc98a", yellow: "#e0b65c", blue: "#7db0f5", magenta: "#cf92e0",
  cyan: "#63c3d2", white: "#c3ccd8", brightBlack: "#8794a8", brightRed: "#ff9a90", brightGreen: "#90dfa7",
  brightYellow: "#f2ce7f", brightBlue: "#a3c8ff", brightMagenta: "#e2b3ef", brightCyan: "#8bdbe8", brightWhite: "#f4f7fb",
};

export class Terminal {
  /**
   * `heard`: {typed(bytes), resized(), leave()}; `keys` is the element with buttons for a phone. `saved` is what `save()`
   * gave on an earlier page.
   */
  constructor(element, keys, nonce, heard, saved = null) {
    this.heard = heard;
    this.tail = new Unfinished();
    this.restoring = Boolean(saved); // that the focus comes to a page that loads is no news to the far end
    keepToPolicy(nonce);
    this.xterm = new XTerm({
      cols: saved?.columns ?? 80, rows: saved?.rows ?? 24, scrollback: SCROLLBACK,
      fontSize: 14, lineHeight: 1.15, cursorBlink: true, allowProposedApi: true,
      fontFamily: 'ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
      minimumContrastRatio: 4.5, macOptionIsMeta: true, rightClickSelectsWord: false, theme: theme(),
    });
    this.fit = new FitAddon();
    this.screen = new SerializeAddon();
    this.xterm.loadAddon(this.fit);
    this.xterm.loadAddon(this.screen);
    this.xterm.open(element);
    this.xterm.textarea.setAttribute("aria-describedby", "keys");
    if (saved) this.#restore(saved);
    const withControl = touchKeys(keys, this.xterm);
    this.xterm.onData((text) => {
      if (this.restoring && FOCUS_REPORTS.has(text)) return;
      this.heard.typed(utf8.encode(withControl(text).toWellFormed()));
    });
    this.xterm.onBinary((text) => this.heard.typed(Uint8Array.from(text, (one) => one.charCodeAt(0))));
    this.xterm.onResize(() => this.heard.resized());
    this.xterm.attachCustomKeyEventHandler((event) => this.#key(event));
    new ResizeObserver(() => requestAnimationFrame(() => this.fit.fit())).observe(element);
    new MutationObserver(() => { this.xterm.options.theme = theme(); })
      .observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  }

  get size() {
    const side = (characters) => Math.min(Math.max(characters, 1), MOST_CHARACTERS);
    return { columns: side(this.xterm.cols), rows: side(this.xterm.rows) };
  }

  /** Show bytes; `taken` is called when they are on the screen. */
  write(bytes, taken = () => {}) {
    this.xterm.write(bytes, () => {
      this.tail.feed(bytes);
      taken();
    });
  }

  /** Show a line of ours between the remote output. */
  say(sentence) {
    this.xterm.write(`\r\n\x1b[0;2m[staffetta] ${sentence}\x1b[0m\r\n`);
  }

  focus() {
    this.xterm.focus();
  }

  set screenReader(on) {
    this.xterm.options.screenReaderMode = on;
  }

  /** Copy what is selected; whether anything was. */
  async copy() {
    const text = this.xterm.getSelection();
    if (text) await navigator.clipboard.writeText(text);
    return Boolean(text);
  }

  /** Paste what is on the clipboard, if the browser and its person let the page read it. */
  async paste() {
    try {
      this.xterm.paste(await navigator.clipboard.readText());
    } catch (error) {
      console.warn(error.message);
    }
    this.focus();
  }

  /** The screen and what is above it, for the page that goes on. */
  save() {
    return { columns: this.xterm.cols, rows: this.xterm.rows, screen: this.screen.serialize(), tail: this.tail.bytes };
  }

  #restore({ screen, tail }) {
    this.xterm.write(screen ?? "");
    this.xterm.write(tail, () => {
      this.restoring = false;
      this.fit.fit();
    });
    this.tail.feed(tail);
  }

  /** Keys that are the page's; all others go to the remote computer. False: xterm.js leaves the key alone. */
  #key(event) {
    if (event.type !== "keydown" || event.altKey || event.metaKey || !event.ctrlKey) return true;
    const key = event.key.toLowerCase();
    if (event.shiftKey && key === "l") {
      event.preventDefault();
      this.heard.leave();
      return false;
    }
    const selected = this.xterm.hasSelection();
    if (selected && ((key === "c") || event.key === "Insert")) { // with nothing selected Ctrl+C interrupts, as ever
      event.preventDefault();
      this.copy();
      this.xterm.clearSelection();
      return false;
    }
    if (event.shiftKey && (key === "c" || key === "v")) {
      if (key === "c") event.preventDefault();
      return false; // the browser pastes, and xterm.js takes what was pasted
    }
    return true;
  }
}

function theme() {
  return document.documentElement.dataset.bsTheme === "dark" ? DARK : LIGHT;
}

/** From here on the page's document makes <style> elements with the page's nonce, and spans that style by their style. */
function keepToPolicy(nonce) {
  const make = document.createElement.bind(document);
  const setAttribute = Element.prototype.setAttribute;
  function setStyled(name, value) {
    if (name === "style") this.style.cssText = value;
    else setAttribute.call(this, name, value);
  }
  document.createElement = (tag, options) => {
    const element = make(tag, options);
    if (tag === "style") element.nonce = nonce;
    else if (tag === "span") element.setAttribute = setStyled;
    return element;
  };
}
