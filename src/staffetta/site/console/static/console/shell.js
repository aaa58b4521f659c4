// A shell in a session: what is typed goes to channel 1, what comes from it is shown, channel 0 carries sizes and the
// shell's exit (docs/protocols/session.md, "Channels of kind shell").

import { NOTES, SHELL } from "./end.js";
import { FrameError, readControl } from "./frames.js";
import { Terminal } from "./terminal.js";

const part = (id) => document.getElementById(id);

export const carrierOf = (words, nonce, saved) => new Shell(words, nonce, saved);

class Shell {
  constructor(words, nonce, saved) {
    this.words = words;
    this.link = null;
    this.typed = saved?.typed ?? []; // what the end had no room for yet
    this.shown = saved?.shown ?? 0;
    this.exit = saved?.exit ?? null;
    this.size = saved?.size ?? null; // the last that the far end was told
    this.pumping = false;
    this.terminal = new Terminal(part("terminal"), part("touch-keys"), nonce, {
      typed: (bytes) => this.#type(bytes),
      resized: () => this.#tellSize(),
      leave: () => part("copy").focus(),
    }, saved?.terminal);
    if (saved && saved.terminal.screen === null) this.terminal.say(words["screen-lost"]);
    this.terminal.fit.fit();
    this.terminal.focus();
    part("copy").addEventListener("click", () => this.terminal.copy().then(() => this.terminal.focus()));
    part("paste").addEventListener("click", () => this.terminal.paste());
    part("screen-reader").addEventListener("change", ({ target }) => { this.terminal.screenReader = target.checked; });
  }

  options() {
    this.size = this.terminal.size;
    return this.size;
  }

  start(link) {
    this.link = link;
    this.#tellSize();
    this.#pump();
    this.terminal.focus();
  }

  /** How many typed bytes wait for room. */
  get waiting() {
    return this.typed.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  /** A frame of the far end; what the terminal took counts as consumed. */
  arrived(frame) {
    const { link } = this;
    if (frame.channel === SHELL) {
      this.terminal.write(frame.payload, () => {
        if (link !== this.link) return;
        this.shown += frame.payload.length;
        link.consumed(frame);
        this.#left();
      });
      return;
    }
    if (frame.channel === NOTES) this.#note(frame.payload);
    link.consumed(frame);
    this.#left();
  }

  /** `small`: without the screen, when there is no room for it. */
  save(small = false) {
    const terminal = this.terminal.save();
    return {
      typed: this.typed, shown: this.shown, exit: this.exit, size: this.size,
      terminal: small ? { ...terminal, screen: null } : terminal,
    };
  }

  /** Another page goes on from what `save` gave: what is still on its way to the screen is its business. */
  freeze() {
    this.link = null;
  }

  stopped() {
    this.link = null;
    this.terminal.xterm.options.disableStdin = true;
    this.terminal.xterm.options.cursorBlink = false;
  }

  ending(reason) {
    if (reason !== "exit") return undefined;
    return this.exit?.status ? this.words["exit-status"] + this.exit.status : this.words.exit;
  }

  #note(payload) {
    try {
      const { kind, fields } = readControl(payload);
      if (kind === "exit") this.exit = { status: fields.status, output: fields.output ?? 0 };
    } catch (error) {
      if (!(error instanceof FrameError)) throw error; // a note that is not understood changes nothing here
    }
  }

  /** The shell has left, and everything that it wrote is on the screen. */
  #left() {
    if (this.exit !== null && this.shown >= this.exit.output) this.link?.finish("exit");
  }

  #type(bytes) {
    this.typed.push(bytes);
    this.#pump();
  }

  async #pump() {
    if (this.pumping || !this.link) return;
    this.pumping = true;
    while (this.typed.length && this.link) {
      const { link } = this;
      if (!link.end.writable && !(await link.writable())) break;
      if (link !== this.link) break;
      const [bytes] = this.typed;
      const room = Math.min(bytes.length, link.end.room(SHELL));
      link.send(SHELL, bytes.subarray(0, room));
      if (room === bytes.length) this.typed.shift();
      else this.typed[0] = bytes.subarray(room);
    }
    this.pumping = false;
  }

  #tellSize() {
    const { columns, rows } = this.terminal.size;
    if (!this.link || (this.size?.columns === columns && this.size?.rows === rows)) return;
    if (this.link.sendNote("resize", { columns, rows })) this.size = { columns, rows };
  }
}
