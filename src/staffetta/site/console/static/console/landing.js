// Where a fetched file goes on this computer: to a place that the rep has chosen (File System Access API), else into
// memory and out as a download.

/** Ask for a place, within the click that wants it: `asking` hears when the rep is to choose. Null when the rep thinks better of it. */
export async function landingFor(name, asking) {
  if (!("showSaveFilePicker" in window)) return new Download();
  asking();
  try {
    return new Chosen(await (await window.showSaveFilePicker({ suggestedName: name })).createWritable());
  } catch (error) {
    if (error.name === "AbortError") return null;
    return new Download(); // not allowed here
  }
}

/** Written beside its place by the browser, and there when it is whole. */
class Chosen {
  constructor(writable) {
    this.writable = writable;
  }

  write(bytes) {
    return this.writable.write(bytes);
  }

  keep() {
    return this.writable.close();
  }

  async discard() {
    await this.writable.abort().catch(() => {});
  }
}

class Download {
  parts = [];

  async write(bytes) {
    this.parts.push(bytes);
  }

  async keep(name) {
    const address = URL.createObjectURL(new Blob(this.parts.splice(0), { type: "application/octet-stream" }));
    const link = Object.assign(document.createElement("a"), { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  }

  async discard() {
    this.parts = [];
  }
}
