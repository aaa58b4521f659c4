// Files in a session: wishes from the page's forms, each a transfer on a channel of its own, and how far each is.

import { MAX_CHANNELS } from "./channel.js";
import { NOTES } from "./end.js";
import { MOST_PATH, Receiver, Sender } from "./files.js";
import { Lane, LaneOver } from "./lane.js";
import { landingFor } from "./landing.js";
import { fetchFile, send, Transfer } from "./transfer.js";
import { say } from "./words.js";

const AT_ONCE = 4;
const part = (id) => document.getElementById(id);

export const carrierOf = (words, _nonce, saved) => new Files(words, saved);

class Files {
  constructor(words, saved) {
    this.words = words;
    this.link = null;
    this.channel = saved?.channel ?? 1;
    this.broken = saved?.running ?? []; // moved by an earlier page: what of a file is not whole does not outlive it
    this.lanes = new Map();
    this.wishes = [];
    this.running = new Set();
    this.rows = new Map();
    for (const one of saved?.done ?? []) this.#row(Object.assign(new Transfer(one.direction, one.name, one.path), one));
    part("send").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#sendAll([...part("chosen").files]);
      part("chosen").value = "";
    });
    part("fetch").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#fetch(part("path").value.trim());
    });
    const drop = part("drop");
    drop.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.dataset.over = "";
    });
    drop.addEventListener("dragleave", () => delete drop.dataset.over);
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      delete drop.dataset.over;
      this.#sendAll([...event.dataTransfer.files]);
    });
    // Beside its place a dropped file would be opened by the browser, in place of the session.
    for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
    window.addEventListener("beforeunload", (event) => { if (this.link && this.#busy) event.preventDefault(); });
    setInterval(() => this.#show(), 200);
  }

  options() {
    return { columns: 80, rows: 24 };
  }

  start(link) {
    this.link = link;
    for (const { channel, ...one } of this.broken.splice(0)) this.#giveUp(channel, one);
    this.#next();
  }

  get waiting() {
    return 0;
  }

  get #busy() {
    return this.running.size > 0 || this.wishes.length > 0;
  }

  arrived(frame) {
    const lane = this.lanes.get(frame.channel);
    if (lane && frame.channel !== NOTES) lane.put(frame);
    else this.link.consumed(frame); // what the far end says of a transfer is for the site
  }

  save() {
    const plain = ({ direction, name, path, size, sha256, state, trouble }) =>
      ({ direction, name, path, size, sha256, state, trouble: trouble && { code: trouble.code, message: trouble.message } });
    const all = [...this.rows.keys()];
    return {
      channel: this.channel,
      running: [...this.running].map((one) => ({ ...plain(one), channel: one.lane.channel })),
      done: all.filter((one) => ["stored", "failed"].includes(one.state)).map(plain),
    };
  }

  freeze() {
    this.link = null;
    for (const lane of this.lanes.values()) lane.link = frozen;
  }

  stopped() {
    this.link = null;
    for (const lane of this.lanes.values()) lane.close();
    for (const one of this.wishes.splice(0)) one.transfer.cancel();
    for (const one of this.rows.keys()) if (one.state === "choosing") one.cancel();
    for (const one of document.querySelectorAll("#send, #fetch")) one.inert = true;
    this.#show();
  }

  #sendAll(files) {
    const folder = part("folder").value.trim().replace(/\/+$/, "");
    const root = part("folder").value.trim().startsWith("/") && !folder;
    for (const file of files) {
      const name = [...file.name.toWellFormed()].slice(0, 256).join("");
      const path = [...(folder || root ? `${folder}/${name}` : name)].slice(0, MOST_PATH).join("");
      const overwrite = part("overwrite").checked;
      this.#wish(new Transfer("send", name, path), (transfer) => send(transfer, file, overwrite));
    }
  }

  async #fetch(path) {
    if (!path) return;
    const name = [...path.split("/").at(-1)].slice(0, 256).join("") || "?";
    const transfer = new Transfer("fetch", name, path);
    const landing = await landingFor(name, () => this.#ask(transfer));
    if (landing && transfer.state !== "failed") return this.#wish(transfer, () => fetchFile(transfer, landing));
    await landing?.discard();
    if (!landing) this.#drop(transfer);
  }

  /** While the browser asks where the file goes, its row says so. */
  #ask(transfer) {
    transfer.state = "choosing";
    this.#row(transfer);
    this.#show();
  }

  #wish(transfer, work) {
    transfer.state = "waiting";
    if (!this.rows.has(transfer)) this.#row(transfer);
    this.wishes.push({ transfer, work });
    this.#next();
  }

  #drop(transfer) {
    this.rows.get(transfer)?.remove();
    this.rows.delete(transfer);
    part("no-transfers").hidden = this.rows.size > 0;
  }

  async #next() {
    while (this.link && this.wishes.length && this.running.size < AT_ONCE) {
      const { transfer, work } = this.wishes.shift();
      if (transfer.state !== "waiting") continue;
      if (this.channel >= MAX_CHANNELS) {
        transfer.state = "failed";
        transfer.trouble = { code: "used-up", message: this.words["used-up"] };
        continue;
      }
      const lane = new Lane(this.link, this.channel);
      this.lanes.set(this.channel, lane);
      this.channel += 1;
      this.running.add(transfer);
      transfer.run(lane, work).finally(() => {
        this.running.delete(transfer);
        this.#next();
      });
    }
    this.#show();
  }

  /** A transfer of the page before: both ends hear that it is over. */
  #giveUp(channel, one) {
    const transfer = Object.assign(new Transfer(one.direction, one.name, one.path), { size: one.size });
    const lane = new Lane(this.link, channel);
    this.lanes.set(channel, lane);
    lane.close();
    transfer.lane = lane;
    transfer.side = one.direction === "send" ? new Sender() : new Receiver();
    transfer.cancel();
    transfer.trouble = { code: "interrupted", message: this.words.interrupted };
    this.#row(transfer);
  }

  #row(transfer) {
    const row = part("transfer").content.firstElementChild.cloneNode(true);
    row.querySelector("[data-name]").textContent = transfer.name;
    row.querySelector("[data-cancel]").addEventListener("click", () => {
      transfer.cancel();
      this.#next();
    });
    part("transfers").prepend(row);
    part("no-transfers").hidden = true;
    this.rows.set(transfer, row);
  }

  #show() {
    for (const [transfer, row] of this.rows) {
      const { state, size, moved } = transfer;
      if (row.dataset.state === "stored" || row.dataset.state === "failed") continue;
      row.dataset.state = state;
      const over = state === "stored" || state === "failed";
      row.querySelector("[data-where]").textContent = `${this.words[transfer.direction === "send" ? "to" : "from"]} ${transfer.path}`;
      const bar = row.querySelector("[data-bar]");
      bar.hidden = over || state === "choosing";
      bar.max = size || 1;
      bar.value = moved;
      row.querySelector("[data-cancel]").hidden = over;
      row.querySelector("[data-words]").textContent = this.#wordsOf(transfer);
      if (transfer.sha256 && over) row.querySelector("[data-hash]").textContent = `SHA-256 ${hex(transfer.sha256)}`;
    }
  }

  #wordsOf({ direction, state, size, moved, trouble }) {
    const { words } = this;
    switch (state) {
      case "choosing":
        return words.choosing;
      case "waiting":
        return words.waiting;
      case "checking":
        return words.checking;
      case "stored":
        return `${direction === "send" ? words.stored : words.saved}, ${amount(size)}`;
      case "failed":
        if (trouble instanceof LaneOver) return words["session-over"];
        return words[trouble.code] ?? say(trouble.message || trouble.code);
      default:
        return size === null ? "…" : `${amount(moved)} ${words.of} ${amount(size)}`;
    }
  }
}

/** In place of the link of a page whose session goes on in another. */
const frozen = { consumed() {}, writable: async () => false, send() {}, sendNote() {}, end: { outgoing: new Map(), room: () => 0 } };

const hex = (bytes) => Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");

const decimals = new Intl.NumberFormat(document.documentElement.lang || "en", {
  minimumFractionDigits: 1, maximumFractionDigits: 1, useGrouping: false,
});

function amount(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit ? `${decimals.format(value)} ${units[unit]}` : `${bytes} B`;
}
