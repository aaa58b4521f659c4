// Where a stream of terminal output stands within an escape sequence or a UTF-8 character that has not ended yet.
//
// A terminal's saved screen says nothing of a sequence that is half read; the bytes of it are kept here, and written
// again after the screen when a page goes on from it.

const GROUND = 0, ESCAPE = 1, CSI = 2, STRING = 3, CHARACTER = 4;
const MOST = 65536; // a longer string is none that a screen depends on

export class Unfinished {
  #state = GROUND;
  #left = 0;
  #bytes = [];

  /** The bytes of the sequence that has begun and not ended. */
  get bytes() {
    return Uint8Array.from(this.#bytes);
  }

  /** More of the stream. */
  feed(stream) {
    for (const byte of stream) {
      this.#state = this.#after(byte);
      if (this.#state === GROUND) {
        if (this.#bytes.length) this.#bytes = [];
      } else if (this.#bytes.length < MOST) this.#bytes.push(byte);
    }
  }

  #after(byte) {
    if (byte === 0x1b) return ESCAPE;
    if (byte === 0x18 || byte === 0x1a) return GROUND; // CAN and SUB break a sequence off
    switch (this.#state) {
      case ESCAPE:
        if (byte === 0x5b) return CSI;
        if ([0x5d, 0x50, 0x58, 0x5e, 0x5f].includes(byte)) return STRING; // OSC, DCS, SOS, PM, APC
        return byte >= 0x20 && byte <= 0x2f ? ESCAPE : GROUND;
      case CSI:
        return byte >= 0x40 && byte <= 0x7e ? GROUND : CSI;
      case STRING:
        return byte === 0x07 ? GROUND : STRING;
      case CHARACTER:
        if ((byte & 0xc0) === 0x80) {
          this.#left -= 1;
          return this.#left ? CHARACTER : GROUND;
        }
        this.#bytes = [];
        break;
    }
    this.#left = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc2 ? 1 : 0;
    return this.#left && byte <= 0xf4 ? CHARACTER : GROUND;
  }
}
